/**
 * Draw the square middle of a picture on a canvas, which takes its size.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {CanvasImageSource} picture
 * @param {number} width Of the picture, in pixels.
 * @param {number} height
 * @param {number} maxSide Of the square, in pixels; a smaller picture is not made larger.
 */
export function drawSquare(canvas, picture, width, height, maxSide) {
  const cut = Math.min(width, height);
  const side = Math.min(maxSide, cut);
  canvas.width = side;
  canvas.height = side;
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(picture, (width - cut) / 2, (height - cut) / 2, cut, cut, 0, 0, side, side);
}
