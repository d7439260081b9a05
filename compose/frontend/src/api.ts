/** What the API says beside its health, the names as in its JSON, and how it is asked. */

export interface Position {
  id: string;
  symbol: string;
  side: string;
  quantity: number;
  entryPrice: number;
  currentPrice: number | null;
  stopPrice: number;
  targetPrice: number;
  unrealizedR: number | null;
}

export interface Order {
  id: string;
  symbol: string;
  side: string;
  type: string;
  quantity: number;
  price: number | null;
  status: string;
  createdAt: string;
  fillPrice: number | null;
}

export interface Equity {
  points: { ts: string; equityR: number }[];
}

export interface Commands {
  state: string;
  commands: { name: string; allowed: boolean }[];
}

export interface Presets {
  active: string;
  presets: { name: string; description?: string }[];
}

const LIMIT_MS = 4_000;
/** Where a 503 says what is wrong; elsewhere it is an error, and what was known before is better. */
const HEALTH = "/api/health";

/** The JSON at `path`; anything else is `null`. */
export async function read<T>(path: string): Promise<T | null> {
  try {
    const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(LIMIT_MS) });
    if (!answer.ok && !(path === HEALTH && answer.status === 503)) return null;
    return (await answer.json()) as T;
  } catch {
    return null;
  }
}
