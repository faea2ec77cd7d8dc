"""Look at what a script draws: every figure asks a question, and every text can be read."""

import sys

from matplotlib.text import Text

from relulab import figures


def look_at_all_that_is_saved():
    """Have ``figures.save`` look at each figure once it is saved, and say so on stderr."""
    save = figures.save

    def save_and_look(ax, *files):
        save(ax, *files)
        look_at(ax, files[0].name)
        print("looked at", files[0].name, file=sys.stderr)

    figures.save = save_and_look


def look_at(ax, name):
    """Hold that a figure asks a question and that no text leaves it or lies on the legend."""
    figure = ax.figure
    assert "?" in figure.get_suptitle(), name
    figure.draw_without_rendering()
    legend = figures.legend_of(ax)
    texts = [t for a in figure.axes for t in (*a.texts, a.title, a.xaxis.label, a.yaxis.label)]
    for artist in (figure._suptitle, legend, *filter(Text.get_text, texts)):
        if artist is None:
            continue
        box = artist.get_window_extent()
        assert box.x0 >= -1, (name, artist)
        assert box.y0 >= -1, (name, artist)
        assert box.x1 <= figure.bbox.x1 + 1, (name, artist)
        assert box.y1 <= figure.bbox.y1 + 1, (name, artist)
        assert artist is legend or legend is None or not box.overlaps(legend.get_window_extent()), (
            name,
            artist,
        )
