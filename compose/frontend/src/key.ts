/** The operator's API key: typed by hand, kept by this tab alone, gone when it is closed. */

const NAME = "breakout-bot-api-key";

export function storedKey(): string {
  return sessionStorage.getItem(NAME) ?? "";
}

export function keepKey(key: string): void {
  if (key) sessionStorage.setItem(NAME, key);
  else sessionStorage.removeItem(NAME);
}

/** What is wrong with a key before it is sent, or nothing. A header takes no other characters. */
export function badKey(key: string): string {
  if (!key) return "Type the API key.";
  return /^[\x21-\x7e]+$/.test(key) ? "" : "A key has no spaces and no accents. Type it again.";
}
