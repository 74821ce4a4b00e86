/** The focus, after a click. */

/**
 * A button or slider that a pointer has worked gives the focus back, so that Space and the arrows mean the dream again.
 * Whoever works it by the keyboard keeps the focus.
 */
export function giveFocusBack(): void {
  const back = (): void => {
    const focused = document.activeElement;
    if (focused instanceof HTMLElement && focused.matches("#demos :is(button, input[type=range])")) focused.blur();
  };
  // A click by the keyboard has no count. Of a slider that is let go beside its place only the pointer tells.
  addEventListener("click", (event) => event.detail > 0 && back());
  addEventListener("pointerup", () => setTimeout(back));
}
