"""Running the notebooks, and the figures and tables they share with the dashboards (§17, §18)."""
