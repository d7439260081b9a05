/** The engine's controls: a key, a preset, and the commands that its state allows. */
import { type FormEvent, useEffect, useRef, useState } from "react";
import type { Bot } from "./bot";
import { allowed, type Command, type Outcome, send } from "./command";
import { Confirm } from "./Confirm";
import { badKey, keepKey, storedKey } from "./key";
import { Card } from "./parts";

const LABELS: [Command, string][] = [
  ["start", "Start"],
  ["pause", "Pause"],
  ["resume", "Resume"],
  ["stop", "Stop"],
  ["reset", "Reset"],
];

/** For what took the place of the thing that had the focus: the keyboard goes on from there. */
function useFocus<T extends HTMLElement>(wanted: boolean) {
  const place = useRef<T>(null);
  useEffect(() => {
    if (wanted) place.current?.focus();
  }, [wanted]);
  return place;
}

function KeyForm(props: { refused: boolean; swapped: boolean; use(key: string): void }) {
  const [wrong, setWrong] = useState("");
  const input = useFocus<HTMLInputElement>(props.swapped);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const key = String(new FormData(event.currentTarget).get("key")).trim();
    setWrong(badKey(key));
    if (!badKey(key)) props.use(key);
  };
  return (
    <form className="field" onSubmit={submit}>
      <label htmlFor="key">API key</label>
      <div className="inline">
        <input
          ref={input}
          id="key"
          name="key"
          type="password"
          autoComplete="off"
          spellCheck={false}
          aria-invalid={props.refused || wrong !== ""}
          aria-describedby="key-note"
        />
        <button type="submit">Use key</button>
      </div>
      <p className="quiet" id="key-note" role="status">
        {wrong || "Commands need it. It stays in this tab and is forgotten when the tab is closed."}
      </p>
    </form>
  );
}

function KeyKept({ swapped, forget }: { swapped: boolean; forget(): void }) {
  const button = useFocus<HTMLButtonElement>(swapped);
  return (
    <div className="inline">
      <span data-testid="key-kept">An API key is in use.</span>
      <button ref={button} type="button" onClick={forget}>
        Forget key
      </button>
    </div>
  );
}

function PresetChoice(props: { presets: Bot["presets"]; value: string; choose(name: string): void }) {
  const all = props.presets?.presets ?? [];
  return (
    <div className="field">
      <label htmlFor="preset">Preset to start with</label>
      <select id="preset" value={props.value} onChange={(event) => props.choose(event.target.value)}>
        {all.map((one) => (
          <option key={one.name}>{one.name}</option>
        ))}
      </select>
      <p className="quiet">{all.find((one) => one.name === props.value)?.description}</p>
    </div>
  );
}

/** Why no command can be given now, or nothing. */
function hindrance(bot: Bot, key: string): string {
  if (!key) return "Type the API key to give commands.";
  return bot.answering ? "" : "The API does not answer: only an emergency stop can be tried.";
}

export function Controls({ bot }: { bot: Bot }) {
  const [key, setKey] = useState(storedKey);
  const [chosen, setChosen] = useState("");
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState<Command | null>(null);
  const [swapped, setSwapped] = useState(false);
  const latest = useRef(0);
  const [outcome, setOutcome] = useState<Outcome | null>(null);
  const preset = chosen || bot.presets?.active || "";

  const use = (typed: string) => {
    keepKey(typed);
    setKey(typed);
    setSwapped(true);
    setOutcome(null);
  };
  const give = async (command: Command) => {
    const number = ++latest.current;
    setAsking(false);
    setBusy(command);
    setOutcome(null);
    const came = await send(command, key, preset);
    if (number !== latest.current) return; // an emergency stop was pressed since: its outcome counts
    if (came.refused) use("");
    setOutcome(came);
    setBusy(null);
  };
  const known = bot.answering ? bot.commands : null;
  // A command that waits, perhaps for an API that hangs, keeps nobody from an emergency stop.
  const free = (command: Command) => (command === "emergency-stop" ? busy !== command : busy === null);
  const may = (command: Command) =>
    key !== "" && free(command) && allowed(command, known, bot.engine?.state);

  return (
    <Card title="Controls" id="controls">
      {key ? (
        <KeyKept swapped={swapped} forget={() => use("")} />
      ) : (
        <KeyForm swapped={swapped} refused={outcome?.refused ?? false} use={use} />
      )}
      <PresetChoice presets={bot.presets} value={preset} choose={setChosen} />
      <div className="buttons">
        {LABELS.map(([command, label]) => (
          <button key={command} type="button" disabled={!may(command)} onClick={() => void give(command)}>
            {busy === command ? `${label} …` : label}
          </button>
        ))}
        <button
          type="button"
          className="danger"
          disabled={!may("emergency-stop")}
          onClick={() => setAsking(true)}
          data-testid="emergency-stop"
        >
          {busy === "emergency-stop" ? "Stopping …" : "Emergency stop"}
        </button>
      </div>
      <p className="quiet">{hindrance(bot, key)}</p>
      <p className={`outcome ${outcome?.good ? "good" : "bad"}`} role="status" data-testid="outcome">
        {outcome && <strong>{outcome.good ? "Done: " : "Not done: "}</strong>}
        {outcome?.text}
      </p>
      <Confirm
        open={asking}
        positions={bot.positions?.length}
        confirm={() => void give("emergency-stop")}
        cancel={() => setAsking(false)}
      />
    </Card>
  );
}
