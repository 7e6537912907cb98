"""nbval, lax: facts in cells tagged `nbval-check-output` are compared; what cannot be stable, or is tested elsewhere, is not."""


def pytest_collectstart(collector):
    # stderr holds other packages' warnings; HTML repeats the text; figures are tested by the CSV of their points.
    if collector.path.suffix == ".ipynb" and hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr", "text/html", "image/svg+xml")
