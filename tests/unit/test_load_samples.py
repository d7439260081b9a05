"""A load run survives its files, and its histograms say what its samples say."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from load import measures, plots
from load.client import NO_ANSWER, UNDONE
from load.samples import (
    MEASURED,
    NEEDED,
    SAMPLES,
    SUMMARY,
    WARM_UP,
    Run,
    RunError,
    Samples,
    merged,
    read,
    samples,
    write,
)


def some(count: int, op: int = 0, phase: int = MEASURED, status: int = 200) -> Samples:
    latencies = np.linspace(1, 100, count)
    return samples(
        op=[op] * count,
        intended=np.arange(count) / 10,
        latency_ms=latencies,
        service_ms=latencies / 2,
        status=[status] * count,
        phase=[phase] * count,
    )


def of_two() -> Run:
    summary = {**dict.fromkeys(NEEDED), "operations": ["health", "page"]}
    return Run(summary, merged([some(20), some(30, op=1)]))


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    run = of_two()
    write(tmp_path, run)
    again = read(tmp_path)
    assert again.operations == ["health", "page"]
    assert np.array_equal(again.samples.latency_ms, run.samples.latency_ms)
    assert len(again.of("page")) == 30


def test_warm_up_is_not_what_was_measured() -> None:
    run = Run({"operations": ["health"]}, merged([some(20, phase=WARM_UP), some(5)]))
    assert len(run.of("health")) == 5
    assert len(run.of("health", phase=None)) == 25


def test_merged_histograms_keep_quantiles_to_a_thousandth_and_leave_errors_out(
    tmp_path: Path,
) -> None:
    good, bad = some(1000), some(1000, status=500)
    write(tmp_path, Run({"operations": ["health"]}, merged([good, bad])))
    whole = HdrHistogram(1, 3_600_000_000, 3)
    with closing(HistogramLogReader(str(tmp_path / "health.hdr"), whole)) as reader:
        while (interval := reader.get_next_interval_histogram()) is not None:
            whole.add(interval)
    assert whole.get_total_count() == 1000
    seen = whole.get_value_at_percentile(99) / 1000
    assert seen == pytest.approx(np.quantile(good.latency_ms, 0.99), rel=2e-3)


def ramp(*rates: tuple[int, float]) -> Samples:
    """Twenty seconds at each rate, every answer after so many ms."""
    rows = [
        (20 * index + number / rate, latency)
        for index, (rate, latency) in enumerate(rates)
        for number in range(20 * rate)
    ]
    whole = [0] * len(rows)
    intended, latency = zip(*rows, strict=True)
    return samples(
        op=whole,
        intended=intended,
        latency_ms=latency,
        service_ms=latency,
        status=[200] * len(rows),
        phase=[MEASURED] * len(rows),
    )


def test_the_knee_is_the_last_rate_that_is_quick() -> None:
    found = measures.steps(ramp((20, 4.0), (40, 30.0), (80, 5.0), (160, 50.0)))
    assert [(one.answered, one.p99) for one in found] == [
        *((20.0, 4.0), (40.0, 30.0), (80.0, 5.0), (160.0, 50.0)),
    ]
    knee = measures.knee(found)
    assert knee is not None
    assert knee.answered == 80.0
    assert measures.knee(found[:3]) is None


def test_errors_are_counted_by_kind() -> None:
    broken = [some(3, status=502), some(2, status=NO_ANSWER), some(1, status=UNDONE)]
    found = merged([some(20), *broken])
    assert measures.errors(found) == {"no answer": 2, "status 502": 3, "without success": 1}
    titles = [title for title, _ in plots.of(Run({"operations": ["health"]}, found))]
    assert titles == ["Latency over time", "Latency by percentile", "Errors by kind"]


def test_a_folder_without_a_run_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"expected the run\.json and samples\.npz"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (SAMPLES, b"", r"expected the run\.json and samples\.npz"),
        (SAMPLES, b"PK\x03\x04 cut off", r"expected the run\.json and samples\.npz"),
        (SUMMARY, b"[]", "expected schema 1"),
        (SUMMARY, b'{"schema": 1, "operations": []}', "expected profile, seed"),
    ],
)
def test_a_damaged_run_is_refused_in_one_sentence(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    write(tmp_path, of_two())
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RunError, match=said):
        read(tmp_path)
