from . import black_box as black_box
from . import evidence as evidence
from . import gradients as gradients
from . import layers as layers
from . import networks as networks
from . import objectives as objectives
from . import parts as parts
from . import structured as structured
from .callbacks import WeightSchedule as WeightSchedule
from .lambda_vae import build_lambda_vae as build_lambda_vae
from .losses import NegativeLogLikelihood as NegativeLogLikelihood
from .networks import conv_decoder as conv_decoder
from .networks import conv_encoder as conv_encoder
from .networks import dense_decoder as dense_decoder
from .networks import dense_encoder as dense_encoder
from .optimizers import FusedAdam as FusedAdam
from .parts import log_weights as log_weights
from .rbm_prior import FollowRBM as FollowRBM
from .rbm_prior import RBMPrior as RBMPrior
from .saving import load_model as load_model
from .vae import VAE as VAE

__version__: str
