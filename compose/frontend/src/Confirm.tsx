/** The question before an emergency stop. The browser's own dialog keeps the focus and hears Escape. */
import { useEffect, useRef } from "react";

export function Confirm(props: { open: boolean; positions: number | undefined; confirm(): void; cancel(): void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (props.open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [props.open]);
  return (
    <dialog ref={dialog} onCancel={props.cancel} aria-labelledby="confirm-title" aria-describedby="confirm-text">
      <h2 id="confirm-title">Emergency stop?</h2>
      <p id="confirm-text">
        Cancels every order of this bot and closes every position at the market&apos;s price, at once
        {props.positions ? ` (${props.positions} open)` : ""}. The engine then holds, also over restarts, until it is
        reset.
      </p>
      <div className="buttons">
        <button type="button" onClick={props.cancel}>
          Cancel
        </button>
        <button type="button" className="danger" onClick={props.confirm} data-testid="confirm-emergency-stop">
          Stop everything
        </button>
      </div>
    </dialog>
  );
}
