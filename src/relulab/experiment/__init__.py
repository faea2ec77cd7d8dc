"""Experiments and their command line: a question, its sweeps, a report, the options."""

from relulab.experiment.command import main
from relulab.experiment.definition import Experiment, Report
from relulab.experiment.options import add_data_options, data_of
from relulab.experiment.report import write_report

__all__ = ["Experiment", "Report", "add_data_options", "data_of", "main", "write_report"]
