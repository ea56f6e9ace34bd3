"""A study as one self-contained HTML page."""

from xaiprune.report.page.build import page, write_page
from xaiprune.report.page.findings import Findings, gather

__all__ = ["Findings", "gather", "page", "write_page"]
