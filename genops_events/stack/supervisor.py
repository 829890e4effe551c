"""The supervisor of one stack: `python -m genops_events.stack.supervisor --home DIR --run ID`.

It is the only parent of the components and the only writer of the state file. It has one thread:
its children are forked with code that runs before exec.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import logging
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec

from gcp_stand_ins.owner import birth
from genops_events.stack import airflow, postgres
from genops_events.stack.airflow_probes import AirflowApi, DagsParsed, Probe, api_server, job
from genops_events.stack.airflow_processes import AirflowProcesses, Child
from genops_events.stack.components import PORTS, STOP_ORDER, Component, component_list, log_file
from genops_events.stack.credentials import AIRFLOW_USER, secrets_of, write_airflow_password, write_credentials
from genops_events.stack.keeper import Birth, ComponentKeeper
from genops_events.stack.loopback_http import get_json
from genops_events.stack.ports import choose
from genops_events.stack.processes import ProcessId, kill_children, kill_session, last_error, reap_strangers, spawn
from genops_events.stack.stack_errors import ComponentError, StackError
from genops_events.stack.state import EXIT_LOCKED, PRIVATE_UMASK, StackPlan, StackState, StateName, load, save

log = logging.getLogger("genops.stack")

EXIT_FAILED = 1
_OWNER_SECONDS = 0.5
"""Between two looks whether the process still runs that the stack is to end with."""


class Supervisor:
    """Brings a stack up, keeps it up, and takes it down.

    Args:
        plan: what the stack is to be.
        run: names this life of the stack in the state file.
    """

    def __init__(self, plan: StackPlan, run: str) -> None:
        self._plan = plan
        self._run = run
        self._began = time.monotonic()
        self._short_lived: set[int] = set()
        self._seconds: float | None = None
        self._stopping = asyncio.Event()
        self._failed = False
        self._postgres = plan.home / "postgres"
        self._way: postgres.RunAs | None = None
        self._migrating = asyncio.Lock()
        self._migration_failed: list[ComponentError] = []
        self._ports = choose(PORTS, home=plan.home, kept=load(plan.home).ports)
        self._secrets = secrets_of(plan.home)
        url = f"http://127.0.0.1:{self._ports['api-server']}"
        self._api = AirflowApi(url, user=AIRFLOW_USER, password=self._secrets.airflow_password)
        write_credentials(plan.home)
        write_airflow_password(plan.home)
        for folder in (airflow.home_folder(plan.home), self._postgres):
            folder.mkdir(parents=True, exist_ok=True)
        self._dags = DagsParsed(self._api, plan.dags_folder)
        components = component_list(plan, self._ports, self._secrets, os.environ)
        self._airflow = AirflowProcesses(
            next(one.environment for one in components if one.is_airflow),
            cwd=airflow.home_folder(plan.home),
            log=log_file(plan.home, "nursery"),
        )
        self._keepers = {one.name: self._keeper(one) for one in components}

    def _keeper(self, one: Component) -> ComponentKeeper:
        async def nothing() -> None:
            pass

        if one.kind == "postgres":
            return ComponentKeeper(
                one,
                prepare=self._cluster,
                start=self._start_postgres,
                look=self._look_at_postgres,
                changed=self._publish,
            )
        return ComponentKeeper(
            one,
            prepare=self._database if one.is_airflow else nothing,
            start=lambda: self._start(one),
            look=lambda born: self._look(one, born),
            changed=self._publish,
        )

    async def _start(self, one: Component) -> Child:
        if one.is_airflow:
            return await self._airflow.start(one.argv, one.log)
        return spawn(one.argv, environment=one.environment, log=one.log, cwd=one.cwd)

    # ── the whole ────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> int:
        """Run until told to stop, or until it is clear that the stack cannot start; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._stopping.set)
        self._publish()
        self._airflow.begin()
        tasks = [asyncio.create_task(keeper.keep()) for keeper in self._keepers.values()]
        tasks.append(asyncio.create_task(self._watch_dags()))
        tasks.append(asyncio.create_task(self._reap()))
        tasks.append(asyncio.create_task(self._end_with_owner()))
        stopping = asyncio.create_task(self._stopping.wait())
        done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        defects = [end for end in ends if isinstance(end, Exception)]
        for defect in defects:
            log.error("the supervisor itself failed", exc_info=defect)
        self._failed = self._failed or stopping not in done
        self._stopping.set()
        self._publish()
        self._airflow.end()
        for kinds, timeout_seconds in STOP_ORDER:
            group = [one for one in self._keepers.values() if one.component.kind in kinds]
            await asyncio.gather(*(one.stop(timeout_seconds=timeout_seconds) for one in group))
        kill_children()  # What was born while the stop came, and what adopted orphans are left.
        reason = f"the supervisor itself failed: {defects[0]!r}" if defects else None
        self._save("failed" if self._failed else "stopped", reason=reason, gone=True)
        return EXIT_FAILED if self._failed else 0

    def _publish(self) -> None:
        states = [keeper.state for keeper in self._keepers.values()]
        well = all(one.state == "running" for one in states)
        if self._seconds is None and well:
            self._seconds = round(time.monotonic() - self._began, 1)
            log.info("the stack is ready after %.1f s", self._seconds)
        if self._stopping.is_set():
            self._save("stopping")
        elif self._seconds is None:
            self._save("starting")
            if any(one.state == "failed" for one in states):
                # It never was whole: nobody depends on the rest of it yet, so nothing is left running.
                self._failed = True
                self._stopping.set()
        else:
            self._save("running" if well and not any(one.reason for one in states) else "degraded")

    def _save(self, name: StateName, *, reason: str | None = None, gone: bool = False) -> None:
        state = StackState(
            state=name,
            plan=self._plan,
            run=self._run,
            supervisor=None if gone else ProcessId(os.getpid(), birth(os.getpid()) or 0.0),
            ports=self._ports,
            components=tuple(keeper.state for keeper in self._keepers.values()),
            seconds=self._seconds,
            reason=reason,
        )
        save(self._plan.home, state)

    # ── PostgreSQL ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _cluster(self) -> None:
        """Make sure that there is a database cluster to start."""
        self._way = postgres.run_as(self._postgres)
        if not (self._postgres / "data").exists():
            path = log_file(self._plan.home, "initdb")
            process = postgres.start_initdb(
                self._way, self._postgres, password=self._secrets.postgres_password, log=path
            )
            code = await self._end_of(process)
            postgres.finish_initdb(self._postgres, code=code, log=path)
        postgres.remove_stale_lock(self._postgres)

    async def _start_postgres(self) -> Child:
        assert self._way is not None
        arguments = postgres.server_arguments(self._postgres, port=self._ports["postgres"])
        return self._way.run("postgres", *arguments, log=self._keepers["postgres"].component.log)

    async def _look_at_postgres(self, _: Birth) -> Probe:
        try:
            postgres.open_database(port=self._ports["postgres"], password=self._secrets.postgres_password)
        except OSError as error:
            return Probe(ready=False, note=str(error).splitlines()[0])
        return Probe(ready=True)

    async def _database(self) -> None:
        """Return when PostgreSQL answers and its tables are those of the installed Airflow."""
        while self._keepers["postgres"].state.state != "running":  # noqa: ASYNC110 - an event would have to be undone
            await asyncio.sleep(0.1)
        # In the cluster's folder: with another cluster, there is another mark, or none.
        mark = self._postgres / "data" / "airflow-version"
        wanted = airflow.installed_version()
        failures = len(self._migration_failed)
        async with self._migrating:
            if mark.exists() and mark.read_text() == wanted:
                return
            if len(self._migration_failed) > failures:  # while this component waited for its turn
                raise self._migration_failed[-1]
            path = log_file(self._plan.home, "migrate")
            code = await self._end_of(await self._airflow.start(("db", "migrate"), path))
            if code != 0:
                what = f"`airflow db migrate` ended with exit code {code}: {last_error(path)}"
                self._migration_failed.append(ComponentError(what, log=str(path)))
                raise self._migration_failed[-1]
            mark.write_text(wanted)

    # ── readiness ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _look(self, one: Component, born: Birth) -> Probe:
        match one.kind:
            case "api-server":
                return await api_server(self._api.url)
            case "scheduler":
                return await job(self._api, "SchedulerJob", since=born.wall, count=self._as_young_as(one, born))
            case "triggerer":
                return await job(self._api, "TriggererJob", since=born.wall, count=self._as_young_as(one, born))
            case "dag-processor":
                return await self._dags.look(since=born.wall)
            case _:
                try:
                    await get_json(f"{one.admin_url}/health")
                except OSError as error:
                    return Probe(ready=False, note=str(error))
                return Probe(ready=True)

    def _as_young_as(self, one: Component, born: Birth) -> int:
        """Return how many of its kind were started with or after it, itself included: so many heartbeats are due."""
        peers = [keeper for keeper in self._keepers.values() if keeper.component.kind == one.kind]
        return sum(1 for peer in peers if peer.born is not None and peer.born.monotonic >= born.monotonic)

    async def _watch_dags(self) -> None:
        """Keep an eye on Dags that cannot be imported: often while some cannot, now and then otherwise."""
        keeper = self._keepers["dag-processor"]
        while True:
            await asyncio.sleep(3.0 if keeper.state.reason else 10.0)
            if keeper.state.state == "running":
                try:
                    keeper.note(await self._dags.import_errors())
                except OSError:
                    continue

    async def _reap(self) -> None:
        """Reap the orphans that this process adopts, such as PostgreSQL's backends after its postmaster was killed."""
        while True:
            await asyncio.sleep(2.0)
            known = self._airflow.pids() | self._short_lived
            reap_strangers(known.union(*(keeper.pids() for keeper in self._keepers.values())))

    async def _end_with_owner(self) -> None:
        """Stop the stack when the process has ended that it is to end with: nobody else would, if that one was killed."""
        while self._plan.owner is None or self._plan.owner.alive():  # noqa: ASYNC110 - the end of no child
            await asyncio.sleep(_OWNER_SECONDS)
        log.info("process %d has ended, and the stack ends with it", self._plan.owner.pid)
        self._stopping.set()
        await asyncio.Event().wait()  # until it is cancelled like the others

    async def _end_of(self, process: Child) -> int:
        """Return the exit code of a process that ends by itself; kill all of it when cancelled."""
        self._short_lived.add(process.pid)
        try:
            while (code := process.poll()) is None:  # noqa: ASYNC110 - nothing announces an end without a thread
                await asyncio.sleep(0.05)
            return code
        finally:
            kill_session(process.pid)
            process.wait()
            self._short_lived.discard(process.pid)


def main() -> int:
    """Run a supervisor until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m genops_events.stack.supervisor")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--run", required=True)
    given = parser.parse_args()
    os.umask(PRIVATE_UMASK)  # of all that the stack keeps, too
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    plan = msgspec.json.decode(
        (given.home / "plan.json").read_bytes(), type=StackPlan, dec_hook=lambda kind, value: kind(value)
    )
    with (given.home / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.warning("another supervisor runs the stack in %s", given.home)
            return EXIT_LOCKED
        try:
            return asyncio.run(_supervise(plan, given.run))
        except (StackError, OSError) as error:
            log.exception("the stack cannot be supervised")
            state = load(given.home)
            save(given.home, replace(state, state="failed", run=given.run, supervisor=None, reason=str(error)))
            return EXIT_FAILED


async def _supervise(plan: StackPlan, run: str) -> int:
    return await Supervisor(plan, run).run()


if __name__ == "__main__":
    sys.exit(main())
