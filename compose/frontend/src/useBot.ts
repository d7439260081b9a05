/** The bot as React sees it. */
import { useEffect, useState } from "react";
import { type Bot, follow, NOTHING } from "./bot";

export function useBot(): Bot {
  const [bot, setBot] = useState<Bot>(NOTHING);
  useEffect(() => follow(setBot), []);
  return bot;
}
