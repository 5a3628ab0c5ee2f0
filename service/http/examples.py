"""The example in the API's documentation: a real answer of the shipped `oct` model, cut to its first block's gates."""

ANSWER: dict[str, object] = {
    "id": "08179e7ce9184d9f8d066793996d64d9",
    "model": {
        "name": "oct",
        "version": "1",
        "digest": "sha256:0be7d45a916e88fee4ee526f3d20288f716d5c5477ee13c06cce896cf3824b9b",
    },
    "notice": "Research use only; not a medical device.",
    "predictions": [
        {
            "file": None,
            "image": {
                "format": "JPEG",
                "width": 529,
                "height": 256,
                "crop": {"left": 136, "top": 0, "width": 256, "height": 256},
                "frame": 1,
                "laterality": None,
                "modality": None,
            },
            "scope": None,
            "style_shift": {
                "verdict": "usual",
                "score": 0.7795,
                "percentile": 38.64,
                "blocks": [
                    {"block": "layer3.0", "score": 0.7795},
                    {"block": "layer3.1", "score": 0.2976},
                    {"block": "layer2.1", "score": 0.2405},
                ],
            },
            "label": "choroidal neovascularization",
            "abstained": None,
            "probability": 0.9946,
            "probabilities": [
                {"label": "choroidal neovascularization", "probability": 0.9946},
                {"label": "diabetic macular edema", "probability": 0.0034},
                {"label": "drusen", "probability": 0.0018},
                {"label": "normal", "probability": 0.0002},
            ],
            "prediction_set": None,
            "recalibration_weights": {
                "layer1.0": [
                    0.4806,
                    0.5278,
                    0.3926,
                    0.7312,
                    0.4643,
                    0.4646,
                    0.6742,
                    0.5652,
                    0.2419,
                    0.3756,
                    0.3182,
                    0.4404,
                    0.3665,
                    0.3017,
                    0.5224,
                    0.4577,
                    0.5717,
                    0.6372,
                    0.4191,
                    0.5665,
                    0.4034,
                    0.3885,
                    0.4901,
                    0.4405,
                ]
            },
            "class_activation": None,
        }
    ],
}
