"""Structured models ready to use: each function builds a `VAE` of parts that fit together."""

from vae_keras.structured.draw import DrawCore, DrawDecoder, DrawEncoder, draw_vae
from vae_keras.structured.flow_prior import flow_prior_vae
from vae_keras.structured.ladder import ladder_vae
from vae_keras.structured.networks import gaussian_network, image_decoder, joined
from vae_keras.structured.quantized import Codes, vq_vae
from vae_keras.structured.sequence import sequence_vae

__all__ = [
    "Codes",
    "DrawCore",
    "DrawDecoder",
    "DrawEncoder",
    "draw_vae",
    "flow_prior_vae",
    "gaussian_network",
    "image_decoder",
    "joined",
    "ladder_vae",
    "sequence_vae",
    "vq_vae",
]
