"""What can be known about the containers without an engine to run them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from api.__main__ import DRAIN_S
from shared.jobs import TIME_LIMIT_S
from standalone.supervisor import GRACE_S
from worker.pulse import LONGEST_ROUND_S

HOUSE = Path(__file__).resolve().parent.parent
COMPOSE_TEXT = (HOUSE / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
SECRETS = {"ISOLINE_ADMIN_TOKEN", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "FLOWER_BASIC_AUTH"}
# Which packages each image may carry: the ones that its room may import.
PACKAGES = {"Dockerfile.api": {"api", "shared"}, "Dockerfile.worker": {"worker", "shared"}}

Stages = dict[str, list[tuple[str, str]]]


def stages_of(name: str) -> Stages:
    """Each stage of a Dockerfile with its (instruction, arguments), the unnamed last one as ''."""
    text = re.sub(r"^\s*#.*\n", "", (HOUSE / name).read_text(), flags=re.MULTILINE)
    stages: Stages = {}
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        instruction, _, arguments = line.strip().partition(" ")
        if instruction == "FROM":
            source, _, stage = arguments.partition(" AS ")
            stages[stage] = [("FROM", source)]
        else:
            stages[list(stages)[-1]].append((instruction, arguments))
    return stages


def values(stage: list[tuple[str, str]], instruction: str) -> list[str]:
    """The arguments of every such instruction in this stage."""
    return [arguments for name, arguments in stage if name == instruction]


def default_of(text: str) -> str:
    """What this is when the variable that it names, if it names one, is not set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def test_only_api_and_flower_are_published_and_only_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"api", "flower"}
    for ports in published.values():
        assert all(re.fullmatch(r"127\.0\.0\.1:\$\{\w+:-\d+\}:\d+", port) for port in ports)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_may_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\d+[mg]", default_of(service["mem_limit"]))
    assert service["pids_limit"] <= 512
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc"} & set(service)
    # A named container could not be scaled.
    assert "container_name" not in service


@pytest.mark.parametrize(("name", "processes"), [("worker", 2), ("bulk", 2), ("quarantine", 1)])
def test_a_process_of_the_pool_meets_its_own_bound_before_its_containers(
    name: str, processes: int
) -> None:
    workers = SERVICES[name]["environment"].get("ISOLINE_WORKERS", "1")
    assert str(processes) in workers
    [size] = re.findall(r"^(\d+)m$", default_of(SERVICES[name]["mem_limit"]))
    # The bound itself stands in worker/app.py, whose import needs a broker.
    most_bytes = 2**30
    assert "MOST_BYTES = 2**30\n" in (HOUSE / "worker" / "app.py").read_text()
    assert int(size) * 2**20 >= processes * most_bytes + 384 * 2**20


def test_batches_let_the_others_go_first_among_containers_too() -> None:
    # The kernel knows niceness among the processes of one container alone.
    shares = {name: service.get("cpu_shares", 1024) for name, service in SERVICES.items()}
    assert shares.pop("bulk") < 1024 / 9
    assert set(shares.values()) == {1024}


def test_only_those_meet_who_need_each_other() -> None:
    for network in ("bell", "table"):
        assert COMPOSE["networks"][network] == {"internal": True}
    meets = {name: set(service["networks"]) for name, service in SERVICES.items()}
    assert meets["redis"] == {"bell"}
    assert meets["postgres"] == meets["migrate"] == {"table"}
    for name in ("worker", "bulk", "quarantine", "relay"):
        assert meets[name] == {"bell", "table"}
    assert meets["flower"] == {"bell", "door"}


def test_a_missing_secret_stops_compose_with_a_sentence() -> None:
    used = re.findall(r"(?<!\$)\$\{(\w+)([^}]*)\}", COMPOSE_TEXT)
    assert {name for name, _ in used} >= SECRETS
    for name, otherwise in used:
        if name in SECRETS:
            assert otherwise.startswith(f":?{name} is not set. ")
        else:
            # What is no secret has a default.
            assert otherwise.startswith(":-")


def test_no_secret_is_an_argument_of_a_process() -> None:
    for name, service in SERVICES.items():
        command = " ".join(service.get("command", []))
        assert not re.search(r"(?<!\$)\$\{?\w", command), name
        # The shell's own variable, and only inside the text that goes to standard input.
        head, _, _ = command.partition("<<")
        assert "PASSWORD" not in head, name


def test_the_example_names_every_secret_and_contains_none() -> None:
    lines = (HOUSE / ".env.example").read_text().splitlines()
    pairs = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert set(pairs) > SECRETS
    assert not any(pairs[name] for name in SECRETS)
    # What is no secret says there what it is when nobody says anything.
    defaults = dict(re.findall(r"(?<!\$)\$\{(\w+):-([^}]+)\}", COMPOSE_TEXT))
    assert {name: pairs[name] for name in set(pairs) - SECRETS} == defaults


def test_everyone_waits_for_the_migration_and_the_migration_for_postgresql() -> None:
    for name in set(OURS) - {"migrate"}:
        waits_for = SERVICES[name]["depends_on"]
        assert waits_for["migrate"] == {"condition": "service_completed_successfully"}, name
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert SERVICES["migrate"]["restart"] == "no"


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"migrate"}))
def test_who_stays_says_whether_it_is_well_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    if "healthcheck" not in service:
        runtime = stages_of(service["build"]["dockerfile"])["runtime"]
        assert len(values(runtime, "HEALTHCHECK")) == 1


# What each service may still be busy with once it is told to end. Flower only looks on, and a
# migration is one transaction.
DRAINS_S = {
    "api": DRAIN_S,
    "worker": TIME_LIMIT_S,
    "bulk": TIME_LIMIT_S,
    "quarantine": TIME_LIMIT_S,
    "relay": LONGEST_ROUND_S,
}


def test_who_is_ours_drains_or_has_nothing_to_drain() -> None:
    assert set(OURS) - set(DRAINS_S) == {"flower", "migrate"}


@pytest.mark.parametrize("name", sorted(DRAINS_S))
def test_a_service_may_finish_what_it_began(name: str) -> None:
    # With some seconds to spare. Unless it is told, Docker gives ten.
    given_s = int(SERVICES[name].get("stop_grace_period", "10s").removesuffix("s"))
    assert given_s >= DRAINS_S[name] + 5


def test_under_make_run_the_api_may_answer_what_is_in_flight_too() -> None:
    assert GRACE_S >= DRAIN_S + 5


def test_a_full_broker_refuses_and_keeps_nothing_that_could_be_damaged() -> None:
    configuration = SERVICES["redis"]["command"][-1]
    assert "maxmemory-policy noeviction" in configuration
    assert "appendonly no" in configuration


def test_old_and_new_compose_can_both_read_it() -> None:
    # 1.29 knows no "name", and Compose v2 warns of "version".
    assert not {"name", "version"} & set(COMPOSE)


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_an_image_carries_the_packages_of_its_room_and_no_other(name: str) -> None:
    runtime = stages_of(name)["runtime"]
    copied = [shlex.split(arguments) for arguments in values(runtime, "COPY")]
    assert copied.pop(0) == ["--from=builder", "/opt/venv", "/opt/venv"]
    assert all(source == target for source, target in copied)
    assert {source for source, _ in copied} == PACKAGES[name]
    assert not values(runtime, "ADD")


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_an_image_runs_as_nobody_in_particular(name: str) -> None:
    stages = stages_of(name)
    # By number, so that an orchestrator can tell that it is not root.
    assert values(stages["runtime"], "USER") == ["10001:10001"]
    (command,) = values(stages["runtime"], "CMD")
    assert command.startswith("["), "a shell would not pass SIGTERM on"
    # Whoever forgets --target gets the service and not its tests.
    assert stages[list(stages)[-1]] == [("FROM", "runtime")] or list(stages)[-1] == "runtime"


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_an_image_is_built_from_what_is_pinned_by_any_builder(name: str) -> None:
    text = (HOUSE / name).read_text()
    assert "# syntax" not in text
    assert "--mount" not in text
    assert "<<" not in text
    assert "--require-hashes -r requirements.txt" in text
    stages = stages_of(name)
    sources = {source for stage in stages.values() for source in values(stage, "FROM")}
    assert sources - set(stages) == {"python:3.11-slim-bookworm"}


def test_both_images_share_their_large_layers() -> None:
    api, worker = stages_of("Dockerfile.api"), stages_of("Dockerfile.worker")
    assert api["base"] == worker["base"]
    assert api["builder"] == worker["builder"]


@pytest.mark.parametrize("name", OURS)
def test_a_service_is_built_to_its_runtime_and_no_further(name: str) -> None:
    build = SERVICES[name]["build"]
    assert build["target"] == "runtime"
    assert SERVICES[name]["image"] == build["dockerfile"].replace("Dockerfile.", "isoline-")


def test_the_suite_can_run_in_a_container_without_root() -> None:
    tests = stages_of("Dockerfile.worker")["tests"]
    assert values(tests, "USER") == ["10001:10001"]
    assert values(tests, "CMD") == ['["python", "-m", "pytest", "-n", "2", "--dist", "loadfile"]']


def test_no_build_sees_a_secret() -> None:
    ignored = (HOUSE / ".dockerignore").read_text().split()
    assert {".env", ".env.*", ".git", ".isoline", ".venv"} <= set(ignored)
