"""A study as one self-contained HTML page."""

from xaiprune.report.page.build import page, write_page
from xaiprune.report.page.findings import Findings, read_findings

__all__ = ["Findings", "page", "read_findings", "write_page"]
