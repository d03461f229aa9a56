"""One frozen config holds every choice and default: a section a room, one file a section."""

from cxresnet.core.config.config import Config, read_config, read_written_config
from cxresnet.core.config.data import DataConfig
from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.config.explain import ExplainConfig
from cxresnet.core.config.model import ModelConfig
from cxresnet.core.config.source import SourceConfig
from cxresnet.core.config.train import TrainConfig

__all__ = [
    "Config",
    "DataConfig",
    "EvaluateConfig",
    "ExplainConfig",
    "ModelConfig",
    "SourceConfig",
    "TrainConfig",
    "read_config",
    "read_written_config",
]
