"""The clock of the host is right, by the Date header of what it serves."""

from email.utils import parsedate_to_datetime

from gate import Evidence, check
from tests.smoke.probes import CLOCK_CAUSE, CLOCK_FIX, PAGE, expect_clock


@check("proxy", cause=CLOCK_CAUSE, fix=CLOCK_FIX)
def test_is_right(seen: Evidence) -> None:
    text = seen[PAGE].headers.get("date", "")
    try:
        skew = parsedate_to_datetime(text).timestamp() - seen.at
    except ValueError:
        skew = None
    expect_clock(seen, skew, text)
