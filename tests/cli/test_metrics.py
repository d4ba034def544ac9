"""--metrics: what a scrape says while a run lasts, beside the run's own record."""

import socket
from collections.abc import Generator, Mapping, Sequence

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fourtuple.core.errors import ShortfallError, UsageError
from fourtuple.core.runs.records import HoldRecord, Sample
from fourtuple.core.runs.run import Run
from fourtuple.faces.export.run import RunMetrics, metered
from fourtuple.verbs.background import serving
from fourtuple.verbs.hold import hold
from tests import made
from tests.made_fleet import fleet_samples
from tests.ports import free_port


def scraped(address: str) -> Mapping[str, float]:
    """The values of all metrics, those with labels by their labels."""
    families = text_string_to_metric_families(httpx.get(f"http://{address}/metrics").text)
    return {
        each.name + "".join(f"{{{name}={value}}}" for name, value in each.labels.items()): each.value
        for family in families
        for each in family.samples
    }


def a_hold(
    end: str, address: str, more: Sequence[str] = (), **options: object
) -> tuple[Run[Sample, HoldRecord], list[str]]:
    said: list[str] = []
    return metered(hold(100, [end, *more], hold_s=60, **options), address, said.append), said


def test_a_scrape_tells_what_the_run_counts() -> None:
    """100 connections: while they are held, the metrics are the sample's numbers; then the server is gone."""
    address = f"127.0.0.1:{free_port()}"
    with serving(end := f"127.0.0.1:{free_port()}", "--echo"):
        run, said = a_hold(end, address, send=b"ping", expect=b"ping", every_s=0.2)
        with run:
            sample = next(each for each in run if each.census and each.answers >= 100)
            found = scraped(address)

    assert said == [f"metrics on http://{address}/metrics"]
    assert (found["fourtuple_run_open"], found["fourtuple_run_opened_total"]) == (100, 100)
    assert found["fourtuple_run_answers_total"] == sample.answers
    assert found["fourtuple_run_answer_seconds_count"] == sample.answer_histogram.sum()
    assert found["fourtuple_run_connect_seconds_bucket{le=+Inf}"] == 100


def test_failures_are_told_by_errno() -> None:
    """Nobody listens: 100 failures with ECONNREFUSED."""
    address = f"127.0.0.1:{free_port()}"
    run, _ = a_hold(f"127.0.0.1:{free_port()}", address)
    with run:
        next(each for each in run if sum(each.failed.values()) == 100)
        found = scraped(address)

    assert found["fourtuple_run_failed_total{errno=ECONNREFUSED}"] == 100


def test_the_destination_that_fails_is_a_label() -> None:
    """One of two listens: the other has the failures, and the first one the connections."""
    address, dead = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    with serving(end := f"127.0.0.1:{free_port()}"):
        run, _ = a_hold(end, address, more=[dead])
        with run:
            sample = next(each for each in run if each.census)
            found = scraped(address)

    assert found[f"fourtuple_run_destination_opened_total{{destination={end}}}"] == sample.open
    assert found[f"fourtuple_run_destination_opened_total{{destination={dead}}}"] == 0
    refused = found[f"fourtuple_run_destination_failed_total{{destination={dead}}}{{errno=ECONNREFUSED}}"]
    assert refused == sample.failed["ECONNREFUSED"] == 100 - sample.open


def test_a_bucket_counts_what_is_below_its_bound() -> None:
    """The buckets are cumulative and exact: their bounds are bounds of the histogram."""
    address = f"127.0.0.1:{free_port()}"
    with serving(end := f"127.0.0.1:{free_port()}"):
        run, _ = a_hold(end, address)
        with run:
            sample = next(each for each in run if each.census)
            found = scraped(address)
    below = [count for name, count in found.items() if name.startswith("fourtuple_run_connect_seconds_bucket")]

    assert below == sorted(below)
    assert below[-1] == sample.connect_histogram.sum() == 100


def test_an_address_that_is_taken_is_an_error_before_anything_is_opened() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ShortfallError, match=address):
            a_hold("127.0.0.1:9", address)
    with pytest.raises(UsageError, match="port"):
        a_hold("127.0.0.1:9", "127.0.0.1")


def test_each_machine_of_a_fleet_has_its_own_numbers() -> None:
    """Beside those of all together, with the machine's name as a label."""
    address = f"127.0.0.1:{free_port()}"
    samples = list(fleet_samples(4, gone=3))
    said: list[str] = []
    with metered(Run(_steps(samples[:20])), address, said.append) as run:
        for sample in run:
            found = scraped(address) if sample is samples[19] else {}
    machines = samples[19].machines

    for name in ("wanted", "open", "opened", "lost", "rss_bytes"):
        each = [found[f"fourtuple_run_machine_{name}{{machine=m{number}}}"] for number in range(1, 5)]
        assert each == [getattr(machine.sample, name) for machine in machines]
    assert found["fourtuple_run_open"] == sum(machine.sample.open for machine in machines)
    assert found["fourtuple_run_machine_failed{machine=m3}"] == sum(machines[2].sample.failed.values()) > 0
    assert [found[f"fourtuple_run_machine_gone{{machine=m{number}}}"] for number in (2, 3)] == [0, 1]
    assert found["fourtuple_run_machine_silent_seconds{machine=m3}"] == 1.5
    assert not [name for name in exposed(next(made.samples())) if "machine" in name]


def _steps(samples: list[Sample]) -> Generator[Sample, None, HoldRecord]:
    yield from samples
    return made.hold_record()


def exposed(sample: Sample) -> list[str]:
    """The names of the metrics of one sample."""
    metrics = RunMetrics()
    metrics.publish(sample)
    return [family.name for family in metrics.collect()]
