/**
 * Why there is no answer, in words for the person who sent an image: by the code of the service's problem document, what is
 * wrong and what to do. The service's own text is written for programmers; the page has it under "Details".
 */
const FORMATS = "a JPEG, PNG, TIFF, BMP, WebP or DICOM file";
const BUSY = ["The service is busy.", "Wait a moment, then try again."];
const OURS = ["This page asked for something that the service does not know.", "Reload the page. If it happens again, tell whoever runs the service."];
const NO_REPORT = ["No structured report can be made of this file.", "Its result can still be shown and saved in other forms."];
const NO_RECORDS = ["The service can't keep its record of the result, so it gave none.", "Try again later. If it lasts, tell whoever runs the service."];

/** What is wrong with the file, or with its image. */
const FILES = {
  empty: ["This file is empty.", "Copy or export it again, then choose the new one."],
  unrecognised: ["This file is not an image that can be read here.", `Choose ${FORMATS}.`],
  unsupported: ["This kind of image file can't be read here.", "Save or export it in another form, such as PNG or DICOM without compression."],
  damaged: ["This file is damaged or incomplete.", "Copy or export it again, then choose the new one."],
  frame: ["This file does not have that frame.", "Choose another frame. They are counted from 1; a file with one picture has none to choose."],
  "out-of-scope": ["This file is not the kind of image that this model is for.", "Choose the model for this kind of image, or another file."],
  "too-large": ["This image has too many pixels.", "Save it smaller, then choose the new one."],
  "body-too-large": ["This file is too large.", "Save the image smaller or compressed, then choose the new one."],
  "content-type": ["This file is not an image that can be read here.", `Choose ${FORMATS}.`],
  "no-report": NO_REPORT,
};

/** What can't be looked at in a model. */
const CHANNELS = {
  "unknown-channel": ["This model does not have that channel.", "Close the channel and open another one."],
  "closed-graph": ["This model's file does not allow to look into its channels.", "The answer itself is complete."],
};

/** What the service can't do now, or not for this person. */
const SERVICE = {
  unauthenticated: ["The service asks for an API key.", "Enter a key that is valid here. Whoever runs the service gives it out."],
  forbidden: ["Your API key does not allow this.", "Use another key, or ask whoever runs the service."],
  "admin-off": ["Nobody may do this on this service.", "Whoever runs the service can allow it."],
  "rate-limited": ["You sent too much in a short time.", "Wait a few seconds, then try again."],
  "too-many-requests": BUSY,
  "too-many-bytes": BUSY,
  "too-many-uploads": BUSY,
  "queue-full": BUSY,
  timeout: ["The service did not answer in time.", "Wait a moment, then try again."],
  "slow-body": ["The file arrived too slowly.", "Check your connection, then try again."],
  "provider-unreachable": ["Your sign-in can't be checked now.", "Wait a moment, then try again."],
  "records-unavailable": NO_RECORDS,
  "records-off": ["This service keeps no records of its results.", "Whoever runs the service can switch them on."],
  "unknown-record": ["This result is no longer kept.", "Classify the image again."],
  "unknown-model": ["This model is no longer served.", "Reload the page to see the models that are."],
  internal: ["The service failed.", "Try again. If it fails again, tell whoever runs the service; the details below help."],
  refused: ["The new version of the model was refused.", "The earlier one is still served."],
  unreachable: ["The service can't be reached.", "Check your connection and that the file can still be opened, then try again."],
  unreadable: ["The service's answer can't be read.", "Try again. If it happens again, tell whoever runs the service."],
};

/** Codes that only a fault of this page, or a program that is no browser, can bring about. */
const PROGRAMS = ["content-encoding", "malformed-form", "too-many-files", "invalid-parameter", "invalid-message", "invalid-feedback", "timeout-header", "http"];

const REASONS = { ...FILES, ...SERVICE, ...CHANNELS, ...Object.fromEntries(PROGRAMS.map((code) => [code, OURS])) };

/** For an answer without a problem document, as a reverse proxy gives it. */
const BY_STATUS = {
  400: OURS,
  401: SERVICE.unauthenticated,
  403: ["You may not do this here.", "Ask whoever runs the service."],
  404: ["The service has nothing at this address.", "Reload the page. If it happens again, tell whoever runs the service."],
  408: SERVICE["slow-body"],
  413: FILES["body-too-large"],
  415: FILES.unrecognised,
  422: ["This file can't be used.", "Choose another one, or see the details."],
  429: SERVICE["rate-limited"],
  502: ["The service can't be reached.", "It may be starting. Wait a moment, then try again."],
  503: BUSY,
  504: SERVICE.timeout,
};

/** @returns {{said: string, advice: string}} */
export function reason(code, status = 0) {
  const [said, advice] = REASONS[code] ?? BY_STATUS[status] ?? ["The service could not do this.", "Try again. If it fails again, tell whoever runs the service."];
  return { said, advice };
}

/** Whether there is a sentence for this code, or only for its status. */
export const known = (code) => Object.hasOwn(REASONS, code);
