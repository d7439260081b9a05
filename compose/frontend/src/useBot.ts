/** Everything the page shows, fetched from its own origin and kept fresh. */
import { useEffect, useState } from "react";
import type { Engine, Health } from "./health";
import { type LiveState, socketUrl, stayConnected } from "./live";
import type { Build } from "./versions";

const POLL_MS = 5_000;
const LIMIT_MS = 4_000;

/** The JSON at `path`; a 503 with a JSON body is an answer too. Anything else is `null`. */
async function read<T>(path: string): Promise<T | null> {
  try {
    const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(LIMIT_MS) });
    if (!answer.ok && answer.status !== 503) return null;
    return (await answer.json()) as T;
  } catch {
    return null;
  }
}

const ENGINE_KEYS = ["state", "preset", "mode", "openPositions", "dailyR"] as const;

/** The engine with whatever an update knows better. */
export function updated(engine: Engine | null, data: Record<string, unknown>): Engine {
  const known = ENGINE_KEYS.filter((key) => key in data).map((key) => [key, data[key]]);
  return { ...engine, ...(Object.fromEntries(known) as Engine) };
}

export interface Bot {
  loaded: boolean;
  health: Health | null;
  engine: Engine | null;
  page: Build | null;
  live: LiveState;
}

export function useBot(): Bot {
  const [bot, setBot] = useState<Bot>({
    loaded: false,
    health: null,
    engine: null,
    page: null,
    live: "connecting",
  });

  useEffect(() => {
    const change = (part: Partial<Bot>) => setBot((before) => ({ ...before, ...part }));
    const poll = async () => {
      const [health, engine, page] = await Promise.all([
        read<Health>("/api/health"),
        read<Engine>("/api/engine/status"),
        read<Build>("/version.json"),
      ]);
      change({ loaded: true, health, engine, page });
    };
    void poll();
    const timer = setInterval(poll, POLL_MS);
    const stop = stayConnected(
      {
        state: (live) => change({ live }),
        message: ({ type, data }) => {
          if (type === "ENGINE_UPDATE") {
            setBot((before) => ({ ...before, engine: updated(before.engine, data) }));
          }
        },
      },
      () => new WebSocket(socketUrl(window.location)),
    );
    return () => {
      clearInterval(timer);
      stop();
    };
  }, []);

  return bot;
}
