"""How fast training is on this machine: samples a second, and the share of its measured matrix rate.

    python -m benchmarks.training warp.toml --photos PHOTOS --clips CLIPS [--steps 10] [--set KEY=VALUE]

The matrix rate is that of a large product in single precision, measured in the same run with
the same threads: the ratio says what better kernels could win, whatever the machine.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from benchmarks.rates import matrix_rate

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("config")
@click.option("--photos", type=FOLDER)
@click.option("--cutouts", type=FOLDER)
@click.option("--clips", type=FOLDER)
@click.option("--index", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--steps", default=10, show_default=True)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE")
@click.option("--device", default="")
def main(steps: int, config: str, settings: tuple[str, ...], device: str, **folders: Path | None) -> None:
    """Time some steps of a configuration and print a table."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from magfilter.memory import keep_freed_memory
    from magfilter.networks.build import build_network
    from trainer.loop import KEPT, Team
    from trainer.train import Data, configure, make_objective

    keep_freed_memory(KEPT)
    changes = dict(text.partition("=")[::2] for text in settings)
    made, plan = configure(config, {"steps": 1, **changes})
    with Team.gather(device) as team:
        net = build_network(made.network, made.width, light=made.light).to(team.device)
        optimiser = torch.optim.Adam(net.parameters(), lr=1e-6)
        objective = make_objective(made, plan, Data(**folders), team)  # type: ignore[arg-type]

        def step() -> None:
            optimiser.zero_grad(set_to_none=True)
            objective(net, 1.0)[0].backward()
            optimiser.step()

        # Some parts take turns: FLOPs are counted over as many steps as are timed.
        step()
        with FlopCounterMode(display=False) as counter:
            for _ in range(steps):
                step()
        begun = time.perf_counter()
        for _ in range(steps):
            step()
        if team.device.type == "cuda":
            torch.cuda.synchronize()
        spent = time.perf_counter() - begun
        rate = matrix_rate(team.device)
    samples = made.batch * (made.scenes > 0) + made.pairs * (made.flow_loss > 0) / made.flow_every
    if made.network == "warp":
        samples += 2 * made.photometric_batch * (made.photometric > 0) / made.photometric_every
    flops = counter.get_total_flops() / spent
    rows = {
        "device": f"{team.device}, {torch.get_num_threads()} threads",
        "steps a minute": f"{60 * steps / spent:.1f}",
        "samples a second": f"{samples * steps / spent:.2f}",
        "TFLOP a step (convolutions and products)": f"{counter.get_total_flops() / steps / 1e12:.4f}",
        "TFLOP a second": f"{flops / 1e12:.4f}",
        "matrix rate, TFLOP a second": f"{rate / 1e12:.4f}",
        "share of the matrix rate": f"{flops / rate:.2f}",
    }
    click.echo(f"| {config} | |\n|---|---|")
    for name, value in rows.items():
        click.echo(f"| {name} | {value} |")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.training")
