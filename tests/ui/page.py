"""What checks of the page share: who serves it, and what they need."""

from functools import partial

from gate import check
from gate.model import model

API, FRONTEND = map(model().name, ("api", "page"))
NEEDS = ("disposable", "proxy", API, FRONTEND)
check_page = partial(check, FRONTEND, needs=NEEDS)
