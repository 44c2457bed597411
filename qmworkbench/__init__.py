"""QuantMatrix workbench: research, run and prove safe a momentum day-trading platform."""

__version__ = "0.1.0"
