/** Each metric of a card: its name, and in a line what it says. */
const METRICS = {
  accuracy: ["accuracy", "share of images whose most probable label is right"],
  balanced_accuracy: ["balanced accuracy", "mean sensitivity of the classes, so that rare ones count as much as common ones"],
  macro_auc: ["macro AUC", "how well the probabilities rank each class above the others: 0.5 is chance, 1 is perfect"],
  quadratic_kappa: ["quadratic kappa", "agreement on ordered grades, where far misses cost more: 0 is chance, 1 is perfect"],
  macro_f1: ["macro F1", "mean over the classes of the balance between what is found and what is found rightly"],
  mcc: ["Matthews correlation", "agreement of label and truth, whatever the class frequencies: 0 is chance, 1 is perfect"],
  nll: ["log loss", "cost of giving the truth a low probability; lower is better"],
  brier: ["Brier score", "squared distance of the probabilities from the truth, 0 to 2; lower is better"],
  ece: ["calibration error", "how far the probabilities are from how often they come true; lower is better"],
  style_shift_false_alarms: ["style shift, false alarms", "share of usual images that are called unusual or unlike; lower is better"],
  accuracy_on_the_most_confident_80_percent: [
    "accuracy, most confident 80 %",
    "accuracy without the fifth of the images whose finding is least probable",
  ],
  accuracy_on_the_most_confident_and_usual_80_percent: [
    "accuracy, most confident and usual 80 %",
    "accuracy without the fifth that is least probable or most unusual in style",
  ],
};

/** A metric's name in words. */
export const metricName = (metric) => METRICS[metric]?.[0] ?? metric.replaceAll("_", " ");

/** What a metric says, in a line; empty where the page does not know it. */
export const metricMeaning = (metric) => METRICS[metric]?.[1] ?? "";
