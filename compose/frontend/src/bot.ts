/** Everything the page shows: fetched from its own origin, kept fresh, kept while the API is away. */
import { type Commands, type Equity, type Order, type Position, type Presets, read } from "./api";
import type { Engine, Health } from "./health";
import { type LiveState, type Message, socketUrl, stayConnected } from "./live";
import type { Build } from "./versions";

const POLL_MS = 5_000;
const BREATH_MS = 400;

export interface Bot {
  live: LiveState;
  /** Whether the first answers, or their absence, are there. */
  loaded: boolean;
  /** Whether the API answered when it was last asked; if not, the rest is what was last known. */
  answering: boolean;
  /** When the API last answered, in milliseconds since 1970. */
  answeredAt: number;
  health: Health | null;
  engine: Engine | null;
  page: Build | null;
  positions: Position[] | null;
  orders: Order[] | null;
  equity: Equity | null;
  commands: Commands | null;
  presets: Presets | null;
}

export const NOTHING: Bot = {
  live: "connecting",
  loaded: false,
  answering: false,
  answeredAt: 0,
  health: null,
  engine: null,
  page: null,
  positions: null,
  orders: null,
  equity: null,
  commands: null,
  presets: null,
};

const SOURCES = {
  health: "/api/health",
  engine: "/api/engine/status",
  page: "/version.json",
  positions: "/api/trading/positions",
  orders: "/api/trading/orders",
  equity: "/api/performance/equity",
  commands: "/api/engine/commands",
  presets: "/api/presets/",
} as const;
type Source = keyof typeof SOURCES;

const EVERYTHING = Object.keys(SOURCES).filter((name) => name !== "page") as Source[];
const TRADING: Source[] = ["positions", "orders", "equity", "commands"];
const ENGINE_KEYS = ["state", "preset", "mode", "openPositions", "slots", "dailyR"] as const;

/** The engine with whatever an update knows better. */
export function updated(engine: Engine | null, data: Record<string, unknown>): Engine {
  const known = ENGINE_KEYS.filter((key) => key in data).map((key) => [key, data[key]]);
  return { ...engine, ...(Object.fromEntries(known) as Engine) };
}

async function ask(names: readonly Source[]): Promise<Partial<Bot>> {
  const answers = await Promise.all(names.map((name) => read(SOURCES[name])));
  const known = names.map((name, place) => [name, answers[place]]).filter(([, answer]) => answer !== null);
  return Object.fromEntries(known) as Partial<Bot>;
}

/** Follow the bot until the function that is returned is called. */
export function follow(change: (step: (before: Bot) => Bot) => void): () => void {
  let updates = 0;
  let asked = 0;
  let answeringSince = 0;
  const newest: Partial<Record<Source, number>> = {};
  let state: unknown;
  let live: LiveState = "connecting";
  let built = false;
  let breath: ReturnType<typeof setTimeout> | undefined;
  const merge = (part: Partial<Bot>) => change((before) => ({ ...before, ...part }));

  /** Ask, and keep what is newer than what is known; gives its number, and who answered. */
  const refresh = async (names: readonly Source[]) => {
    const number = ++asked;
    const before = updates;
    const found = await ask(names);
    const answered = names.filter((name) => found[name] !== undefined);
    // What the WebSocket said in the meantime is newer, and what was asked for later is as well.
    if (updates !== before) delete found.engine;
    for (const name of answered) {
      if ((newest[name] ?? 0) > number) delete found[name];
      else newest[name] = number;
    }
    merge(found);
    return { number, answered };
  };
  const poll = async () => {
    // The page's own build is the one that was loaded: after an update it shows as a difference.
    const { number, answered } = await refresh(built ? EVERYTHING : [...EVERYTHING, "page"]);
    built ||= answered.includes("page");
    if (number < answeringSince) return;
    answeringSince = number;
    const answering = answered.includes("health");
    merge({ loaded: true, answering, ...(answering && { answeredAt: Date.now() }) });
  };
  const soon = () => {
    clearTimeout(breath);
    breath = setTimeout(() => void refresh(TRADING), BREATH_MS);
  };
  const hear = ({ type, data }: Message) => {
    const changed = type === "ENGINE_UPDATE" && data.state !== state;
    if (changed || type === "POSITION_UPDATE" || type === "ORDER_UPDATE") soon();
    if (type !== "ENGINE_UPDATE") return;
    updates++;
    state = data.state;
    change((before) => ({ ...before, engine: updated(before.engine, data) }));
  };
  const connection = (now: LiveState) => {
    if (now === live) return;
    // Connected again or cut off: either way what is shown has to be asked for anew.
    if (now === "live" || now === "offline") void poll();
    live = now;
    merge({ live });
  };
  void poll();
  const timer = setInterval(poll, POLL_MS);
  const stop = stayConnected(
    { state: connection, message: hear },
    () => new WebSocket(socketUrl(window.location)),
  );
  return () => {
    clearInterval(timer);
    clearTimeout(breath);
    stop();
  };
}
