"""The clock of the host is right, by the Date header of what it serves."""

from email.utils import parsedate_to_datetime

from gate.checks import check, expect
from gate.evidence import Evidence
from tests.smoke.probes import PAGE, shown

CLOCK_SECONDS = 2.0
CAUSE = "the clock of that host, or of this one, is not synchronised"
FIX = "`timedatectl` on both; orders signed with a wrong time are refused by exchanges"


@check("proxy", cause=CAUSE, fix=FIX)
def test_is_right(seen: Evidence) -> None:
    text = seen[PAGE].headers.get("date", "")
    try:
        skew = parsedate_to_datetime(text).timestamp() - seen.at
    except ValueError:
        skew = None
    expect_right(seen, skew, text)


def expect_right(seen: Evidence, skew: float | None, text: str) -> None:
    """Fail the check unless a clock that said `text` is right; `skew` in seconds."""
    # The Date header has whole seconds, and the gathering itself takes time.
    expect(
        skew is not None and -CLOCK_SECONDS - seen.seconds - 1 < skew < CLOCK_SECONDS,
        f"a clock within {CLOCK_SECONDS:g} s of this machine's",
        f"{skew:+.1f} s: {text}" if skew is not None else shown(text),
    )
