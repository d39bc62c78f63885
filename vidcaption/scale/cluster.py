"""A Ray cluster that is there, or one on this machine for the time of a run."""

import logging
import os
from collections.abc import Iterable, Iterator
from typing import Any, Self

from vidcaption.batch import Job, Outcome, Runner, Watcher
from vidcaption.cpus import cpu_count
from vidcaption.errors import SetupError
from vidcaption.events import VERBOSE, event
from vidcaption.options.batch import BatchOptions, RayOptions
from vidcaption.output.text import counted

logger = logging.getLogger(__name__)

STORE_BYTES = 512 * 2**20  # shared memory for windows in transit, where Ray is started here


class Cluster:
    """An executor for ``Batch.start``: captions on Ray. Use it in a ``with`` block.

    It connects to ``ray_address``, else to ``RAY_ADDRESS`` of the environment, as is set in jobs
    on Ray; else it starts Ray on this machine and stops it at the end. All machines need
    vidcaption[ray], and the inputs, outputs and model under the same paths or addresses. A Ray that
    this process has initialised before is used as it is.

    Raises SetupError if Ray is not installed, or does not answer.
    """

    def __init__(self, options: RayOptions, batch: BatchOptions) -> None:
        self._options, self._batch = options, batch
        self._started = False

    def __enter__(self) -> Self:
        _require()
        import ray

        if not ray.is_initialized():
            _silence()
            self._connect()
            self._started = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._started:
            import ray

            ray.shutdown()

    def __call__(self, runner: Runner, jobs: Iterable[Job], watcher: Watcher) -> Iterator[Outcome]:
        """See ``Dispatch``. Returns when a network has loaded its model.

        Raises ModelError, DeviceError, SetupError.
        """
        import ray

        from vidcaption.scale.dispatch import Dispatch
        from vidcaption.scale.layout import lay_out
        from vidcaption.scale.network import Network
        from vidcaption.scale.remote import machines, remote

        found = machines()
        layout = lay_out(
            [each.get("CPU", 0) for each in found.values()],
            sum(each.get("GPU", 0) for each in found.values()),
            self._options.ray_networks,
            self._batch.worker_count,
        )
        text = (
            f"Ray has {counted(len(found), 'machine')}, for {counted(layout.networks, 'network')}"
        )
        text += f" with {counted(layout.readers, 'reader')} each"
        logger.log(VERBOSE, text, extra=event("ray", machines=len(found)))
        actor = remote(
            Network, num_cpus=layout.cpus, num_gpus=layout.gpus, max_restarts=0, max_concurrency=4
        )
        level = logging.getLogger("vidcaption").getEffectiveLevel()
        shared = ray.put(runner)
        arguments = layout, self._batch.file_timeout_s, os.getcwd(), level
        dispatch = Dispatch(
            lambda: actor.remote(shared, *arguments), layout.networks, jobs, watcher
        )
        dispatch.wait_for_a_model()
        return iter(dispatch)

    def _connect(self) -> None:
        import ray

        address = self._options.cluster
        where: dict[str, Any] = {"address": address}
        if not address:
            where = {"address": "local", "include_dashboard": False, "num_cpus": cpu_count()}
            where["object_store_memory"] = STORE_BYTES
            where["_system_config"] = {"worker_niceness": 0}  # as without Ray; 15 by default
        try:
            ray.init(**where, log_to_driver=False, logging_level=logging.CRITICAL)
        except Exception as error:  # a plain one if its processes do not start in time
            first = (str(error) or type(error).__name__).splitlines()[0]
            reason, *_ = first.split(". ")
            raise SetupError(
                f"Ray cannot be used{f' at {address}' if address else ''}: {reason.rstrip('.')}; "
                + (
                    "give the address of a cluster with the same versions of Ray and Python"
                    if address
                    else "see that there is memory and space in /tmp/ray, or omit --ray"
                )
            ) from error


def _require() -> None:
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise SetupError(
            f'--ray needs the extra "ray", and {error.name} is not installed; '
            "pip install 'vidcaption[ray]'"
        ) from error


def _silence() -> None:
    """No telemetry, and no messages of Ray's on standard output, where captions may go.

    ``log_to_driver=False`` covers those of tasks, but not that a process has died: Ray has no
    option for that.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # its warning of a change
    import ray._private.worker as driver

    def note(data: dict[str, Any], ignore_prefix: bool) -> None:
        for line in data["lines"]:
            logger.debug(line, extra=event("ray_message"))

    driver.print_to_stdstream = note
