from cxresnet.api.classifier import Model as Model
from cxresnet.api.classifier import load as load
from cxresnet.api.explanation import Explanation as Explanation
from cxresnet.api.prediction import Prediction as Prediction
from cxresnet.api.stages import TrainedRun as TrainedRun
from cxresnet.api.stages import evaluate as evaluate
from cxresnet.api.stages import list_presets as list_presets
from cxresnet.api.stages import open_dataset as open_dataset
from cxresnet.api.stages import prepare as prepare
from cxresnet.api.stages import train as train

__version__: str
DISCLAIMER: str
