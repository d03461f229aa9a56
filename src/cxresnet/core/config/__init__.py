"""One frozen config holds every choice and default: one section per package, one file each."""

from cxresnet.core.config.audit import AuditConfig
from cxresnet.core.config.config import Config, change_config, read_config, read_written_config
from cxresnet.core.config.data import DataConfig
from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.config.explain import ExplainConfig
from cxresnet.core.config.model import ModelConfig
from cxresnet.core.config.named import find_config_file, list_named_configs
from cxresnet.core.config.source import SourceConfig
from cxresnet.core.config.train import TrainConfig

__all__ = [
    "AuditConfig",
    "Config",
    "DataConfig",
    "EvaluateConfig",
    "ExplainConfig",
    "ModelConfig",
    "SourceConfig",
    "TrainConfig",
    "change_config",
    "find_config_file",
    "list_named_configs",
    "read_config",
    "read_written_config",
]
