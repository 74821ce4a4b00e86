/** The address: which demo stands alone, and with which world, seed and temperature it begins. */

export interface Link {
  demo?: string;
  world?: string;
  seed?: number;
  tau?: number;
}

function finite(text: string | null): number | undefined {
  const value = text === null || text === "" ? NaN : Number(text);
  return Number.isFinite(value) ? value : undefined;
}

export function readLink(): Link {
  const query = new URLSearchParams(location.search);
  return {
    demo: query.get("demo") ?? undefined,
    world: query.get("world") ?? undefined,
    seed: finite(query.get("seed")),
    tau: finite(query.get("tau")),
  };
}

export function addressOf(link: Link): string {
  const url = new URL(location.pathname, location.href);
  for (const [name, value] of Object.entries(link)) if (value !== undefined) url.searchParams.set(name, String(value));
  return url.href;
}
