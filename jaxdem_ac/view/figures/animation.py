"""Pictures on the disk: a GIF, an MP4, a strip of moments as a PNG."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from jaxdem_ac._files import written
from jaxdem_ac.view.episode import Episode
from jaxdem_ac.view.figures.legend import add_legend
from jaxdem_ac.view.figures.options import LONGEST_FILM, Look
from jaxdem_ac.view.figures.scene import Scene, Stage
from jaxdem_ac.view.figures.style import new_figure, save_figure

DPI = 100
COLORS = 96
"""Colours of a GIF: a few, and the shades between them at an edge."""

Sink = Callable[[np.ndarray], None]
Writer = Callable[[Path, "Film", float], AbstractContextManager[Sink]]


class Film:
    """A figure whose background is drawn once, and what moves again for every frame."""

    def __init__(self, episode: Episode, look: Look) -> None:
        self.moments = episode.moments(LONGEST_FILM, look.every)
        stage = Stage(episode, look, self.moments)
        across = _even(look.size)
        # Matplotlib rounds: half a pixel more gives the one that is meant.
        width = (across + 0.5) / DPI
        foot = stage.foot(width)
        up = _even((stage.height(width) + foot + stage.head) * DPI)
        figure = new_figure(width, (up + 0.5) / DPI, layout=None, dpi=DPI)
        self.scene = Scene(figure, stage, 0.0, foot, width)
        self.legend = stage.legend
        add_legend(figure, self.legend)
        self.canvas: Any = figure.canvas
        for artist in self.scene.artists:
            artist.set_animated(True)
        self.canvas.draw()
        self.background = self.canvas.copy_from_bbox(figure.bbox)  # type: ignore[attr-defined]
        self.size = (across, up)

    def frame(self, index: int) -> np.ndarray:
        """Return one frame, ``(height, width, 3)`` of uint8."""
        self.scene.draw(index)
        self.canvas.restore_region(self.background)
        renderer = self.canvas.get_renderer()
        for artist in self.scene.artists:
            artist.draw(renderer)
        return np.asarray(self.canvas.buffer_rgba())[..., :3].copy()


def write_films(episode: Episode, paths: Sequence[Path], look: Look) -> int:
    """Draw an episode once, and write it as a GIF, an MP4 or both; return the number of frames.

    The last frame stays for a second. Each file is written whole or not at all. Raises ImportError if what writes an
    MP4 is not installed.
    """
    film = Film(episode, look)
    writers: dict[str, Writer] = {".gif": _gif, ".mp4": _mp4}
    with ExitStack() as stack:
        sinks = [stack.enter_context(writers[path.suffix](path, film, look.fps)) for path in paths]
        for index in film.moments:
            pixels = film.frame(index)
            for sink in sinks:
                sink(pixels)
    return len(film.moments)


def write_strip(episode: Episode, path: Path, look: Look) -> None:
    """Draw moments of an episode side by side as a PNG, the first and the last among them."""
    moments = episode.moments(look.frames)
    stage = Stage(episode, look, moments)
    width, gap = 3.0, 0.1
    across = len(moments) * (width + gap) - gap
    foot = stage.foot(across)
    figure = new_figure(across, stage.height(width) + foot + stage.head, layout=None)
    for number, index in enumerate(moments):
        scene = Scene(figure, stage, number * (width + gap), foot, width)
        scene.draw(index)
    add_legend(figure, stage.legend)
    save_figure(figure, path, dpi=200)


@contextmanager
def _gif(path: Path, film: Film, fps: float) -> Iterator[Sink]:
    from PIL import Image

    chosen = [film.frame(film.moments[at]) for at in (0, len(film.moments) // 2, -1)]
    palette = Image.fromarray(np.concatenate(chosen)).quantize(COLORS)
    # Of each four neighbouring tones Pillow looks up one: paper would become nearly white.
    colors = np.array(palette.getpalette()).reshape(-1, 3)
    colors[(colors >= 248).all(axis=1)] = 255
    palette.putpalette(colors.ravel().tolist())
    frames: list[Image.Image] = []

    def add(pixels: np.ndarray) -> None:
        frames.append(Image.fromarray(pixels).quantize(palette=palette, dither=Image.Dither.NONE))

    yield add
    # The format counts in hundredths of a second, and what is shorter than two many viewers slow down.
    pauses = [*[10 * max(2, round(100 / fps))] * (len(frames) - 1), 1000]
    with written(path) as draft:
        frames[0].save(
            draft, format="GIF", save_all=True, append_images=frames[1:], duration=pauses, loop=0, optimize=False
        )


@contextmanager
def _mp4(path: Path, film: Film, fps: float) -> Iterator[Sink]:
    """Give what takes frames; H.264 in the colours and sizes that browsers play, their index at the file's head."""
    program = require_ffmpeg().get_ffmpeg_exe()
    width, height = film.size
    taken = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {fps:g} -i -".split()
    given = ["-an", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "20", "-movflags", "+faststart", "-f", "mp4"]
    last: list[bytes] = []

    with written(path) as draft:
        command = [program, "-y", "-loglevel", "error", *taken, *given, str(draft)]
        # Spawned and not forked, for which Python asks that files stay open: JAX has threads.
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, close_fds=False) as process:
            assert process.stdin is not None
            write = process.stdin.write

            def add(pixels: np.ndarray) -> None:
                last[:] = [pixels.tobytes()]
                # Why it ended it says itself, below.
                with suppress(BrokenPipeError):
                    write(last[0])

            yield add
            with suppress(BrokenPipeError):
                write(last[0] * round(fps))
            said = process.communicate()[1]
        if process.returncode:
            reason = " ".join(said.decode(errors="replace").split())
            raise OSError(f"render: ffmpeg writes {str(path)!r}; got {reason!r} from it. Write a GIF instead.")


def require_ffmpeg() -> ModuleType:
    """Return imageio_ffmpeg, whose wheel brings an ffmpeg; raises ImportError, which says how to get it."""
    try:
        import imageio_ffmpeg
    except ImportError:
        raise ImportError('An MP4 needs imageio-ffmpeg: pip install "jaxdem-ac[view]".') from None
    return imageio_ffmpeg


def _even(pixels: float) -> int:
    """Return an even whole number at least that large: H.264 halves the resolution of colours."""
    return 2 * int(np.ceil(pixels / 2))
