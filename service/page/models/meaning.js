import { percent } from "../format.js";
import { html } from "../html.js";
import { Whisker } from "./charts.js";
import { capital, count, elsewhere, own, plural, range, rightOf, sensitivities, share, sum, whole } from "./words.js";

/** What the model is for, and what it can't do. */
export function Purpose({ card }) {
  const { description, labels, intended_use: use, limits, scope, task } = card;
  const tells = { "multi-class": "It tells apart", ordinal: "It tells these grades apart", "multi-label": "It looks for" }[task];
  return html`<div class="purpose">
    <div>
      <p class="lead">${description}</p>
      <p>${scope && `Made for one kind of image: ${scope.modality}. `}${tells}: ${labels.join(", ")}.</p>
      <h3>Intended use</h3>
      <p>${use}</p>
    </div>
    <div>
      <h3>Limits</h3>
      <ul>${limits.map((limit) => html`<li>${limit}</li>`)}</ul>
    </div>
  </div>`;
}

/** How many images were labelled rightly, at which class frequencies, and on data of another origin. */
export function Right({ card }) {
  const found = rightOf(card);
  const others = elsewhere(card);
  if (!found && !others.length) return null;
  const alike = own(card, "balanced_accuracy");
  return html`<section class="right-of">
    <h3>How often it was right</h3>
    ${
      found &&
      html`<p class="figure"><strong>${inWords(found)}</strong> ${found.right !== null && html`<span>${share(found.value, found.interval)}</span>`}</p>
        <p>${found.data && `These are the ${found.split} images of ${found.data}. `}${frequencies(card, found)}</p>
        ${alike && html`<p>If all classes were equally frequent, it would be right in ${share(alike.value, alike.interval)}.</p>`}
        ${card.task === "ordinal" && html`<p>${neighbours(card)}</p>`}`
    }
    ${others.map(
      ({ data, images, accuracy, balanced }) =>
        html`<p class="elsewhere">
          <b>On data of another origin</b> (${data}):${" "}
          ${accuracy && `${lower(inWords({ right: whole(accuracy.value, images), images, split: "", value: accuracy.value }))}, ${share(accuracy.value, accuracy.interval)}, at the class frequencies of these data. `}
          ${balanced && `If all classes were equally frequent: ${share(balanced.value, balanced.interval)}.`}
        </p>`,
    )}
    ${card.quantisation && html`<p>These figures are of the float32 network from which this INT8 package was made.</p>`}
  </section>`;
}

const lower = (text) => text.charAt(0).toLowerCase() + text.slice(1);

const inWords = ({ right, images, split, value }) => {
  const of = [split, images === 1 ? "image" : "images"].filter(Boolean).join(" ");
  return right === null ? `Right in ${percent(value)} of ${count(images)} ${of}` : `Right in ${count(right)} of ${count(images)} ${of}`;
};

/** The classes among the test images, and what always naming the most frequent one would reach. */
function frequencies(card, { images }) {
  const { confusion } = card.measured;
  const counts = confusion ? confusion.map(sum) : card.labels.map((label) => card.training_data.counts.test?.[label] ?? null);
  if (counts.includes(null) || sum(counts) !== images) return "The figure stands at the class frequencies of these images.";
  const most = Math.max(...counts);
  const each = card.labels.map((label, i) => `${count(counts[i])} ${label}`).join(", ");
  return (
    `The figure stands at their own class frequencies: ${each}. ` +
    `To call every image “${card.labels[counts.indexOf(most)]}” would be right in ${count(most)}.`
  );
}

/** Of ordered grades: how far off the wrong ones were. */
function neighbours({ measured: { confusion } }) {
  if (!confusion) return null;
  const at = (steps) => sum(confusion.flatMap((row, i) => row.filter((_, j) => Math.abs(i - j) === steps)));
  const wrong = sum(confusion.flat()) - at(0);
  return wrong ? `Of the ${count(wrong)} others, ${count(at(1))} were one grade off and ${count(wrong - at(1))} further.` : null;
}

/** How many of each class's images it finds. */
export function Sensitivities({ card }) {
  const rows = sensitivities(card);
  if (!rows.length) return null;
  return html`<section>
    <h3>How much of each class it finds</h3>
    <div class="scroll" tabindex="0" role="group" aria-label="Sensitivity of each class">
      <table class="sensitivities">
        <caption>Of the test images of each class, how many were called so (sensitivity). Class frequencies don't matter here.</caption>
        <thead><tr><th scope="col">Class</th><th scope="col">Found</th><th scope="col">Sensitivity</th><th scope="col">95 % interval</th>
          <th scope="col" class="drawn"><span class="visually-hidden">Drawn from 0 to 100 %</span><span class="axis" aria-hidden="true"><span>0</span><span>100 %</span></span></th></tr></thead>
        <tbody>
          ${rows.map(
            ({ label, found, images, value, interval }) =>
              html`<tr>
                <th scope="row">${label}</th>
                <td>${count(found)} of ${count(images)}</td>
                <td>${images ? percent(value) : "none"}</td>
                <td>${images ? range(interval) : "none"}</td>
                <td class="drawn">${images > 0 && html`<${Whisker} value=${value} interval=${interval} />`}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
    <p class="muted">These intervals are Wilson's, from the counts alone: they take each image as independent of the others.</p>
  </section>`;
}

/** Prediction sets in words. */
export function Sets({ card: { conformal } }) {
  if (!conformal) return null;
  const { coverage, guarantee, measured } = conformal;
  const { images, interval } = measured;
  const short = interval && interval[1] < coverage;
  const [worst] = Object.entries(measured.by_label).sort((a, b) => a[1] - b[1]);
  return html`<section>
    <h3>The labels that it can't rule out</h3>
    <p>
      With each finding come all labels that can't be ruled out. These sets are made to hold the right label for${" "}
      ${(100 * coverage).toFixed(0)} % of images. <b>On ${count(images)} ${measured.split} images they did so for ${share(measured.coverage, interval)}</b>,
      with ${measured.mean_set_size.toFixed(2)} labels on average.
      ${short && html` <b>That is fewer than they were made for.</b>`}
      ${worst && ` They held it least often for “${worst[0]}”: ${percent(worst[1])}.`}
    </p>
    <p class="muted">${guarantee}</p>
  </section>`;
}

/** Whether it notices images that are not what it knows, and what ordinary changes of an image cost. */
export function Style({ card }) {
  const alarms = own(card, "style_shift_false_alarms");
  const { perturbations } = card.measured;
  if (!card.style) return null;
  const number = alarms && whole(alarms.value, alarms.images);
  const [worst] = perturbations ?? [];
  return html`<section>
    <h3>Images that it does not know</h3>
    <p>
      Each answer says whether the image looks like the training images: usual, unusual or unlike (style shift).
      ${alarms && ` It warned of ${number === null ? "" : `${count(number)} of `}${plural(alarms.images, `${alarms.split} image`)}, ${share(alarms.value, alarms.interval)}, though they come from where the training images come from.`}
      ${
        worst && worst.difference < 0 &&
        ` Of ${perturbations.length} ordinary changes of an image, the costliest is “${worst.name}” (${worst.meaning}): the style shift noticed it in ${(100 * worst.flagged).toFixed(0)} % of the test images.`
      }
    </p>
  </section>`;
}

/** How many images of each class were in each split. */
export function Images({ card }) {
  const { counts, name, licence } = card.training_data;
  const splits = Object.keys(counts);
  const names = { train: "training", val: "validation" };
  const labels = [...new Set([...card.labels, ...splits.flatMap((split) => Object.keys(counts[split]))])];
  const multi = card.task === "multi-label";
  return html`<section>
    <h3>Images it was made with</h3>
    <div class="scroll" tabindex="0" role="group" aria-label="Images of each class">
      <table class="counts">
        <caption>${name} (${licence}): images of each class in each split${multi ? "; an image may have several labels" : ""}</caption>
        <thead><tr><th scope="col">Class</th>${splits.map((split) => html`<th scope="col">${capital(names[split] ?? split)}</th>`)}</tr></thead>
        <tbody>
          ${labels.map((label) => html`<tr><th scope="row">${label}</th>${splits.map((split) => html`<td>${label in counts[split] ? count(counts[split][label]) : "–"}</td>`)}</tr>`)}
        </tbody>
        ${!multi && html`<tfoot><tr><th scope="row">All</th>${splits.map((split) => html`<td>${count(sum(Object.values(counts[split])))}</td>`)}</tr></tfoot>`}
      </table>
    </div>
  </section>`;
}
