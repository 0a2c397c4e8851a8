"""MLflow: a run's parameters, metrics and status on a tracking server, while it trains."""

from kerascli.callbacks.base import SettingCallback, callback


@callback(name="mlflow")
class MLflow(SettingCallback):
    """Send the run to an MLflow server while it trains: its settings as parameters, metrics by epoch, status, results.

    The address comes from the environment variable MLFLOW_TRACKING_URI, credentials from MLFLOW_TRACKING_USERNAME and
    MLFLOW_TRACKING_PASSWORD or MLFLOW_TRACKING_TOKEN, the experiment from MLFLOW_EXPERIMENT_NAME (else `Default`); none
    of them is recorded. Training never waits for the server; one that does not answer is reported once, and
    `kerascli runs send RUN --to mlflow` sends the rest afterwards.
    """

    artifacts: bool = False
    """Also send the run's files (configs, weights, preprocessing, history) at the end of training."""

    def claims(self) -> tuple[str, ...]:
        return ("the run on the MLflow server",)  # its folder has all that is sent
