"""contiv-ksr: reflects the state of Kubernetes into etcd."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from contivpp.daemon import logs
from contivpp.daemon.http_config import HttpConfig, HttpConfigError
from contivpp.store.config import EtcdConfig, EtcdConfigError

app = typer.Typer(add_completion=False, help=__doc__)

HTTP_PORT = 9191
BAD_SETTINGS = 2


@app.command()
def run(
    kube_config: Annotated[Path | None, typer.Option(envvar="KUBE_CONFIG", help="How to reach Kubernetes.")] = None,
    etcd_config: Annotated[Path | None, typer.Option(envvar="ETCD_CONFIG", help="etcd.conf")] = None,
    http_config: Annotated[Path | None, typer.Option(envvar="HTTP_CONFIG", help="http.conf")] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error")] = "info",
) -> None:
    """Runs until it is told to stop; of several instances one writes."""
    from contivpp.ksr import program  # noqa: PLC0415 - kubernetes takes its time; --help does not need it
    from contivpp.ksr.kubernetes import KubeConfigError  # noqa: PLC0415

    try:
        logs.configure("contiv-ksr", log_level)
        settings = program.Settings(
            kubeconfig=kube_config,
            etcd=EtcdConfig.load(etcd_config) if etcd_config else EtcdConfig.parse(None, source="the defaults"),
            http=HttpConfig.load(http_config, default_port=HTTP_PORT)
            if http_config
            else HttpConfig.parse(None, default_port=HTTP_PORT),
        )
        code = asyncio.run(program.run(settings))
    except (EtcdConfigError, HttpConfigError, KubeConfigError, ValueError) as error:
        print(f"contiv-ksr: {error}", file=sys.stderr)
        raise typer.Exit(BAD_SETTINGS) from error
    raise typer.Exit(code)


def main() -> None:
    """Runs the program."""
    app()


if __name__ == "__main__":
    main()
