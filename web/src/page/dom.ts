/** Makes elements. */

type Child = Node | string | null | undefined | false;

/** Makes an element: `el("p.note", { title: "…" }, "text")`. Properties that begin with `on` are listeners. */
export function el<T extends HTMLElement = HTMLElement>(name: string, props: Record<string, unknown> = {}, ...children: Child[]): T {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag) as T;
  element.classList.add(...classes);
  for (const [key, value] of Object.entries(props)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value as EventListener);
    else if (value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.filter((child): child is Node | string => !!child || child === ""));
  return element;
}

export function button(label: string, title: string, onclick: () => void, name = "button"): HTMLButtonElement {
  return el<HTMLButtonElement>(name, { type: "button", title, onclick }, label);
}

/** A slider with its name and value beside it. */
export function slider(
  label: string,
  { min, max, step, value }: { min: number; max: number; step: number; value: number },
  show: (value: number) => string,
  changed: (value: number) => void,
): { element: HTMLElement; set(value: number): void } {
  const input = el<HTMLInputElement>("input", { type: "range", min, max, step, value });
  const output = el("output", {}, show(value));
  input.addEventListener("input", () => {
    output.textContent = show(input.valueAsNumber);
    changed(input.valueAsNumber);
  });
  const element = el("label.slider", {}, el("span", {}, label), input, output);
  return {
    element,
    /** Also what lies beyond the slider's ends is shown as it is. */
    set(to: number) {
      input.value = String(to);
      output.textContent = show(to);
    },
  };
}

/** One of several, as a row of buttons; one choice alone shows nothing. */
export function choice(label: string, names: string[], chosen: number, changed: (index: number) => void): HTMLElement {
  if (names.length < 2) return el("span.choice", { hidden: true });
  const group = el("div.choice", { role: "radiogroup", "aria-label": label });
  const pick = (index: number): void => {
    [...group.children].forEach((child, i) => {
      child.setAttribute("aria-checked", String(i === index));
      (child as HTMLElement).tabIndex = i === index ? 0 : -1;
    });
  };
  names.forEach((name, index) => {
    const each = el("button", { type: "button", role: "radio" }, name);
    each.addEventListener("click", () => {
      pick(index);
      changed(index);
    });
    each.addEventListener("keydown", (event) => {
      const turn = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!turn) return;
      event.preventDefault();
      event.stopPropagation();
      const next = (index + turn + names.length) % names.length;
      (group.children[next] as HTMLElement).focus();
      (group.children[next] as HTMLElement).click();
    });
    group.append(each);
  });
  pick(chosen);
  return group;
}

/** A canvas of 64×64 pixels. */
export class Screen {
  readonly canvas: HTMLCanvasElement;
  private readonly context: CanvasRenderingContext2D;

  constructor(label: string) {
    this.canvas = el<HTMLCanvasElement>("canvas", { width: 64, height: 64, role: "img", "aria-label": label });
    this.context = this.canvas.getContext("2d")!;
  }

  /** Shows pixels [64, 64, 4]. */
  show(pixels: Uint8Array | Uint8ClampedArray): void {
    const copy = new Uint8ClampedArray(64 * 64 * 4);
    copy.set(pixels);
    this.context.putImageData(new ImageData(copy, 64, 64), 0, 0);
  }
}

export const number = (value: number, digits = 0): string =>
  // No "-0".
  (Number(value.toFixed(digits)) || 0).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** `1 step`, `2 steps`. */
export const count = (value: number, noun: string): string => `${number(value)} ${noun}${number(value) === "1" ? "" : "s"}`;

/** `car-racing` → `Car racing`. */
export const title = (id: string): string => (id.charAt(0).toUpperCase() + id.slice(1)).replaceAll("-", " ");
