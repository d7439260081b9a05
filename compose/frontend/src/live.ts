/** The WebSocket to the API, kept open: reconnects with growing pauses, drops a silent one. */

export interface Message {
  type: string;
  ts: number | string;
  data: Record<string, unknown>;
}

export type LiveState = "connecting" | "live" | "offline";

const FIRST_MS = 500;
const LONGEST_MS = 15_000;
const SILENCE_MS = 15_000;

/** Pause before the next attempt: doubles to a limit, spread so that pages do not return together. */
export function backoff(failures: number, random: () => number = Math.random): number {
  const whole = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures, 16));
  return Math.round(whole * (0.5 + random() / 2));
}

export function socketUrl(location: { protocol: string; host: string }): string {
  return `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/ws/`;
}

export function parse(raw: unknown): Message | null {
  try {
    const message = JSON.parse(String(raw)) as Partial<Message> | null;
    if (typeof message?.type !== "string") return null;
    return { type: message.type, ts: message.ts ?? 0, data: message.data ?? {} };
  } catch {
    return null;
  }
}

interface Socket {
  onmessage: ((event: MessageEvent<unknown>) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  close(): void;
}

export interface Listener {
  message(message: Message): void;
  state(state: LiveState): void;
}

/** Stay connected until the function that is returned is called. */
export function stayConnected(listener: Listener, open: () => Socket): () => void {
  let failures = 0;
  let socket: Socket | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const lost = () => {
    clearTimeout(timer);
    if (socket) {
      socket.onclose = socket.onmessage = null;
      socket.close();
      socket = null;
    }
    listener.state("offline");
    timer = setTimeout(connect, backoff(failures++));
  };
  const watch = () => {
    clearTimeout(timer);
    timer = setTimeout(lost, SILENCE_MS);
  };
  const connect = () => {
    listener.state("connecting");
    socket = open();
    watch();
    socket.onclose = lost;
    socket.onmessage = (event) => {
      watch();
      const message = parse(event.data);
      if (!message) return;
      failures = 0;
      listener.state("live");
      listener.message(message);
    };
  };
  connect();
  return () => {
    clearTimeout(timer);
    if (!socket) return;
    socket.onclose = socket.onmessage = null;
    socket.close();
  };
}
