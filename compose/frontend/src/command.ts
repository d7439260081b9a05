/** Commands to the engine: which are allowed now, and what came of one. */
import type { Commands } from "./api";

export type Command = "start" | "stop" | "pause" | "resume" | "reset" | "emergency-stop";

/** Closing positions may take the engine 8 s. */
const LIMIT_MS = 20_000;
const NO_ANSWER =
  "No answer from the API. The command may have been carried out all the same: look at the state before you repeat it.";

/** Whether the API allows it in this state; an answer about another state says nothing. */
export function allowed(command: Command, known: Commands | null, state: string | undefined): boolean {
  // Nothing that the page does not know yet may stand in the way of an emergency stop.
  if (command === "emergency-stop") return true;
  if (!known || known.state !== state) return false;
  return known.commands.some((one) => one.name === command && one.allowed);
}

/** What came of a command. `refused`: the key was wrong. */
export interface Outcome {
  good: boolean;
  text: string;
  refused?: boolean;
}

interface Body {
  success?: boolean;
  message?: string;
  detail?: string;
}

const sentence = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

function judge(status: number, body: Body): Outcome {
  if (status === 401 || status === 403) {
    return { good: false, refused: true, text: "The API refused the key, so nothing was done. Type it again." };
  }
  if (status >= 400) return { good: false, text: sentence(body.detail ?? `The API answered ${status}.`) };
  return { good: body.success === true, text: sentence(body.message ?? "The API gave no reason.") };
}

/** Send a command; never throws. */
export async function send(command: Command, key: string, preset?: string): Promise<Outcome> {
  try {
    const answer = await fetch(`/api/engine/${command}`, {
      method: "POST",
      headers: { "X-API-Key": key, "Content-Type": "application/json" },
      body: command === "start" && preset ? JSON.stringify({ preset }) : null,
      signal: AbortSignal.timeout(LIMIT_MS),
    });
    return judge(answer.status, (await answer.json()) as Body);
  } catch {
    return { good: false, text: NO_ANSWER };
  }
}
