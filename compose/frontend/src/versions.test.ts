import { describe, expect, it } from "vitest";
import { label, mismatch } from "./versions";

const build = (version: string, revision = "unknown") => ({ version, revision });

describe("page and API", () => {
  it("agree when version and revision are equal", () => {
    expect(mismatch(build("1.2.0", "abc"), build("1.2.0", "abc"))).toBeNull();
  });

  it("differ by version", () => {
    expect(mismatch(build("1.2.0"), build("1.3.0"))).toContain("The page is 1.2.0 and the API is 1.3.0");
  });

  it("differ by revision alone", () => {
    expect(mismatch(build("1.2.0", "abc"), build("1.2.0", "def"))).toContain("1.2.0 (def)");
  });

  it("are not compared by a revision that one of them does not know", () => {
    expect(mismatch(build("1.2.0", "abc"), build("1.2.0"))).toBeNull();
  });

  it("are not compared while one is not known", () => {
    expect(mismatch(null, build("1.2.0"))).toBeNull();
    expect(label(null)).toBe("unknown");
  });
});
