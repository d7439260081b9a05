import { describe, expect, it } from "vitest";
import { curve, HEIGHT, WIDTH } from "./curve";

describe("the equity curve", () => {
  it("is not drawn before the first closed trade", () => {
    expect(curve([])).toBeNull();
  });

  it("begins at 0 and fills the picture", () => {
    expect(curve([2, -2])).toEqual({
      path: `M0 ${HEIGHT / 2}L${WIDTH / 2} 0L${WIDTH} ${HEIGHT}`,
      zero: HEIGHT / 2,
      lowest: -2,
      highest: 2,
      last: -2,
    });
  });

  it("of trades that came to nothing is a flat line", () => {
    expect(curve([0, 0])?.path).toBe(`M0 0L${WIDTH / 2} 0L${WIDTH} 0`);
  });
});
