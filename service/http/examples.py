"""The example in the API's documentation: a real answer of the shipped `oct` model, cut to its first block's gates."""

ANSWER: dict[str, object] = {
    "id": "08179e7ce9184d9f8d066793996d64d9",
    "model": {
        "name": "oct",
        "version": "2",
        "digest": "sha256:65aae77db21d458bae3a1316bcf1557b2a51cd00577cf96d18e401c477e49abd",
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
                "score": 1.23,
                "percentile": 67.63,
                "blocks": [
                    {"block": "layer1.1", "score": 1.23},
                    {"block": "layer3.1", "score": 1.0631},
                    {"block": "layer1.0", "score": 0.766},
                ],
            },
            "label": "choroidal neovascularization",
            "abstained": None,
            "probability": 0.9763,
            "probabilities": [
                {"label": "choroidal neovascularization", "probability": 0.9763},
                {"label": "diabetic macular edema", "probability": 0.023},
                {"label": "drusen", "probability": 0.0006},
                {"label": "normal", "probability": 0.0001},
            ],
            "prediction_set": {"coverage": 0.9, "labels": ["choroidal neovascularization"]},
            "recalibration_weights": {
                "layer1.0": [
                    0.5596,
                    0.3957,
                    0.5374,
                    0.4388,
                    0.5077,
                    0.3915,
                    0.5993,
                    0.3648,
                    0.5181,
                    0.6236,
                    0.4302,
                    0.5066,
                    0.5132,
                    0.4525,
                    0.3471,
                    0.4501,
                    0.4714,
                    0.5936,
                    0.4535,
                    0.5266,
                    0.2548,
                    0.3642,
                    0.4814,
                    0.5165,
                ]
            },
            "class_activation": None,
        }
    ],
}
