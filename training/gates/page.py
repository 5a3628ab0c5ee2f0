"""``analysis.html``: the gates of a run, or of two side by side, as one self-contained page."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from PIL import Image

from training.data.pipeline import IMAGE, cached
from training.datasets import Item
from training.evaluation.evaluate import true_label
from training.files import replace_text
from training.gates.examined import Examined
from training.report import environment
from training.report.charts import gate_profiles
from training.report.pictures import SIDE, address
from training.report.svg import INK, SERIES, SURFACE, drawing, to_svg


def write_page(
    path: Path,
    content: dict[str, Any],
    examined: Sequence[Examined],
    channels: Sequence[dict[str, Any]],
    items: Sequence[Item] | None,
) -> None:
    """Write the page.

    Args:
        path: the file.
        content: of ``analysis.json``.
        examined: the run, and the one that it is compared with if there is one.
        channels: the first run's channels that tell the classes apart, with the rows of their images.
        items: the split's images; None for a page without images.
    """
    names = [name_of(each) for each in examined]
    charts = {
        "correlation": correlation_chart(examined, names),
        "matrices": matrices(examined, names),
        "pruning": pruning_chart(content["runs"], names),
        "blocks": block_pruning_chart(content["runs"], names),
    }
    profiles = [gate_profiles(each.means, each.blocks, each.labels) for each in examined]
    page = environment().get_template("analysis.html.jinja")
    text = page.render(
        content=content,
        names=names,
        split={"val": "validation", "test": "test"}[content["split"]],
        charts={name: Markup(svg) for name, svg in charts.items()},
        by_block=by_block(content["runs"]),
        profiles=[
            Markup(svg.replace("gates-", f"gates-{index}-")) for index, svg in enumerate(profiles)
        ],  # identifiers stay unique in the page
        channels=channels,
        sheets=[] if items is None else [sheet(channel, items, examined[0]) for channel in channels],
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    replace_text(path, text)


def by_block(runs: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any] | None]]:
    """For each block name, the values of each run. None if a network has no such block."""
    own = [{block["name"]: block for block in run["blocks"]} for run in runs]
    return {name: [blocks.get(name) for blocks in own] for name in dict.fromkeys(n for blocks in own for n in blocks)}


def name_of(examined: Examined) -> str:
    return f"{examined.recalibration.upper()} ({examined.run.folder.name})"


def correlation_chart(examined: Sequence[Examined], names: Sequence[str]) -> str:
    """Mean |r| between the channels of each block, over what chance gives."""
    with drawing():
        figure = Figure(figsize=(8.6, 3.2))
        axes = figure.subplots()
        for index, (each, name) in enumerate(zip(examined, names, strict=True)):
            values = {block: c.mean_absolute for block, c in each.correlations.items() if c.mean_absolute is not None}
            axes.plot(list(values), list(values.values()), "o-", color=SERIES[index], markersize=4, label=name)
        by_chance = next(iter(examined[0].correlations.values())).by_chance
        axes.axhline(
            by_chance, color=INK, linewidth=0.7, linestyle=(0, (1, 3)), label="independent channels, by chance"
        )
        axes.set(ylim=(0, 1), ylabel="Mean |r| of pairs of channels")
        axes.tick_params(axis="x", rotation=45 if len(examined[0].blocks) > 10 else 0)
        figure.legend(loc="outside lower center", ncols=3, bbox_to_anchor=(0.5, -0.1))
    text = "Mean absolute correlation between the gates of a block's channels, by block; the values are in the table."
    return to_svg(figure, "correlation", text)


def matrices(examined: Sequence[Examined], names: Sequence[str]) -> str:
    """Correlation matrices of the last block of each stage."""
    last = {block.name.partition(".")[0]: block.name for block in examined[0].blocks}
    with drawing():
        figure = Figure(figsize=(9.6, 2.6 * len(examined) + 0.4))
        grid = figure.subplots(len(examined), len(last), squeeze=False)
        picture = None
        for row, (each, name) in enumerate(zip(examined, names, strict=True)):
            for column, block in enumerate(last.values()):
                axes, found = grid[row, column], each.correlations.get(block)
                axes.set(xticks=[], yticks=[])
                axes.grid(visible=False)
                axes.set_title(block)
                if column == 0:
                    axes.set_ylabel(name)
                if found is None or not found.varying:
                    axes.text(0.5, 0.5, "no gate varies", ha="center", transform=axes.transAxes)
                    continue
                picture = axes.imshow(found.matrix, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
                axes.set_xlabel(
                    f"{found.varying} channels" + (f", {found.constant} constant" if found.constant else "")
                )
        if picture is not None:
            figure.colorbar(picture, ax=grid, shrink=0.7, label="r", pad=0.02)
    return to_svg(figure, "matrices", f"Correlation matrices of the channels' gates in {', '.join(last.values())}.")


def pruning_chart(runs: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """The task's two figures as channels of all blocks are pruned."""
    with drawing():
        figure = Figure(figsize=(8.6, 3.4))
        for axes, key in zip(figure.subplots(1, 2, sharey=True), runs[0]["pruning"]["figures"], strict=True):
            for index, (run, name) in enumerate(zip(runs, names, strict=True)):
                for order, style in (("lowest", "o-"), ("random", "o:")):
                    steps = run["pruning"][order]
                    fractions, values = [s["fraction"] for s in steps], [s[key] for s in steps]
                    label = f"{name}, {'lowest gates' if order == 'lowest' else 'channels at random'}"
                    axes.plot(
                        fractions,
                        values,
                        style,
                        color=SERIES[index],
                        markersize=4,
                        markeredgecolor=SURFACE,
                        label=label,
                    )
            axes.set(ylim=(0, 1), xlabel="Channels pruned, in every block", title=key.replace("_", " ").capitalize())
            axes.xaxis.set_major_formatter(PercentFormatter(1))
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, bbox_to_anchor=(0.5, -0.16))
        figure.subplots_adjust(wspace=0.1)
    return to_svg(figure, "pruning", "The figures as channels are pruned; the values are in the table.")


def block_pruning_chart(runs: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """The second figure of the task as channels of one block alone are pruned."""
    measured = runs[0]["pruning"]["figures"][1]
    blocks = list(runs[0]["pruning"]["blocks"])
    columns = min(4, len(blocks))
    rows = -(-len(blocks) // columns)
    with drawing():
        figure = Figure(figsize=(9.6, 0.5 + 1.6 * rows))
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes, block in zip(grid.flat, blocks, strict=False):
            for index, (run, name) in enumerate(zip(runs, names, strict=True)):
                steps = run["pruning"]["blocks"].get(block, [])
                axes.plot(
                    [s["fraction"] for s in steps],
                    [s[measured] for s in steps],
                    "o-",
                    color=SERIES[index],
                    markersize=3,
                    label=name,
                )
            axes.set_title(block)
            axes.set(ylim=(0, 1))
            axes.xaxis.set_major_formatter(PercentFormatter(1))
        for axes in grid.flat[len(blocks) :]:
            axes.set_axis_off()
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower center", ncols=2, bbox_to_anchor=(0.5, -0.02 - 0.12 / rows))
        figure.subplots_adjust(hspace=0.45, wspace=0.1)
    return to_svg(figure, "blocks", "The figure as the lowest gates of one block alone are pruned, block by block.")


def sheet(channel: dict[str, Any], items: Sequence[Item], examined: Examined) -> dict[str, list[dict[str, Any]]]:
    """The images at both ends of a channel's gate, as the network sees them."""
    ends = {}
    for end in ("highest", "lowest"):
        rows = channel[end]
        pixels: Any = cached([items[row] for row in rows], examined.run.facts().input)
        ends[end] = [
            {
                "id": items[row].id,
                "label": true_label(items[row], examined.labels),
                "gate": gate,
                "image": address(enlarged(one[IMAGE].permute(1, 2, 0).numpy())),
            }
            for row, gate, one in zip(rows, channel["gates"][end], pixels, strict=True)
        ]
    return ends


def enlarged(pixels: Any) -> Image.Image:
    """A picture (H, W, C) at the page's size; few pixels stay squares."""
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    small = max(picture.size) * 2 < SIDE
    scale = SIDE / max(picture.size)
    size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
    return picture.resize(size, Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS)
