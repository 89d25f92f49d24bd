using MemSim.Tool.Views;
using OxyPlot;

namespace MemSim.Tool.Plots;

/// <summary>Lets OxyPlot draw into a <see cref="PngImage"/>: no smoothing and no font, so no native library and the same bytes everywhere.</summary>
internal sealed class PngRenderContext(int width, int height) : RenderContextBase
{
    private const int LetterHeight = 7;
    private readonly PngImage _image = new(width, height);
    private readonly Stack<OxyRect> _clips = [];

    /// <inheritdoc/>
    public override int ClipCount => _clips.Count;

    private (int Left, int Top, int Right, int Bottom) Visible => _clips.TryPeek(out OxyRect clip)
        ? (Math.Max(0, (int)Math.Floor(clip.Left)), Math.Max(0, (int)Math.Floor(clip.Top)), Math.Min(width, (int)Math.Ceiling(clip.Right) + 1), Math.Min(height, (int)Math.Ceiling(clip.Bottom) + 1))
        : (0, 0, width, height);

    /// <summary>The picture as a file.</summary>
    public byte[] Encode() => _image.Encode();

    /// <inheritdoc/>
    public override void PushClip(OxyRect clippingRectangle) => _clips.Push(clippingRectangle);

    /// <inheritdoc/>
    public override void PopClip() => _clips.Pop();

    /// <inheritdoc/>
    public override OxySize MeasureText(string text, string fontFamily, double fontSize, double fontWeight)
    {
        string[] lines = (text ?? "").Split('\n');
        return new OxySize(lines.Max(l => l.Length) * DotLetters.Advance * Scale(fontSize), lines.Length * (DotLetters.Height + 1) * Scale(fontSize));
    }

    /// <inheritdoc/>
    public override void DrawText(ScreenPoint p, string text, OxyColor fill, string fontFamily, double fontSize, double fontWeight, double rotation, HorizontalAlignment horizontalAlignment, VerticalAlignment verticalAlignment, OxySize? maxSize)
    {
        if (string.IsNullOrEmpty(text) || !fill.IsVisible())
        {
            return;
        }

        int scale = Scale(fontSize);
        string[] lines = text.Split('\n');
        if (lines.Length > 1)
        {
            double lineHeight = (DotLetters.Height + 1) * scale;
            for (int i = 0; i < lines.Length; i++)
            {
                DrawText(new ScreenPoint(p.X, p.Y + (i * lineHeight)), lines[i], fill, fontFamily, fontSize, fontWeight, rotation, horizontalAlignment, verticalAlignment, maxSize);
            }

            return;
        }

        double textWidth = text.Length * DotLetters.Advance * scale;
        double textHeight = LetterHeight * scale;
        double along = horizontalAlignment switch { HorizontalAlignment.Left => 0, HorizontalAlignment.Center => -textWidth / 2, _ => -textWidth };
        double across = verticalAlignment switch { VerticalAlignment.Top => 0, VerticalAlignment.Middle => -textHeight / 2, _ => -textHeight };
        bool upwards = Math.Abs(rotation + 90) < 45;
        (double x, double y) = upwards ? (p.X + across, p.Y - along) : (p.X + along, p.Y + across);
        DotLetters.Draw(_image, (int)Math.Round(x), (int)Math.Round(y), text, OnPaper(fill), scale, upwards);
    }

    /// <inheritdoc/>
    public override void DrawLine(IList<ScreenPoint> points, OxyColor stroke, double thickness, EdgeRenderingMode edgeRenderingMode, double[] dashArray, LineJoin lineJoin)
    {
        if (!stroke.IsVisible() || thickness <= 0)
        {
            return;
        }

        int brush = Math.Max(1, (int)Math.Round(thickness));
        double period = dashArray is null ? 0 : dashArray.Sum() * brush;
        double walked = 0;
        for (int i = 1; i < points.Count; i++)
        {
            (double dx, double dy) = (points[i].X - points[i - 1].X, points[i].Y - points[i - 1].Y);
            int steps = Math.Max(1, (int)Math.Ceiling(Math.Max(Math.Abs(dx), Math.Abs(dy))));
            double length = Math.Sqrt((dx * dx) + (dy * dy)) / steps;
            for (int s = 0; s <= steps; s++)
            {
                if (period == 0 || IsInk(walked % period / brush, dashArray!))
                {
                    Dot(points[i - 1].X + (dx * s / steps), points[i - 1].Y + (dy * s / steps), brush, stroke);
                }

                walked += length;
            }
        }
    }

    /// <inheritdoc/>
    public override void DrawPolygon(IList<ScreenPoint> points, OxyColor fill, OxyColor stroke, double thickness, EdgeRenderingMode edgeRenderingMode, double[] dashArray, LineJoin lineJoin)
    {
        if (fill.IsVisible() && points.Count > 2)
        {
            Fill(points, fill);
        }

        if (points.Count != 0)
        {
            DrawLine([.. points, points[0]], stroke, thickness, edgeRenderingMode, dashArray, lineJoin);
        }
    }

    /// <summary>What a colour looks like on white paper: there is nothing else beneath what is not opaque.</summary>
    private static (byte, byte, byte) OnPaper(OxyColor color)
    {
        byte Over(byte channel) => (byte)(byte.MaxValue - ((byte.MaxValue - channel) * color.A / byte.MaxValue));
        return (Over(color.R), Over(color.G), Over(color.B));
    }

    private static int Scale(double fontSize) => fontSize >= 15 ? 2 : 1;

    private static bool IsInk(double at, double[] dashes)
    {
        bool ink = true;
        foreach (double dash in dashes)
        {
            if (at < dash)
            {
                return ink;
            }

            at -= dash;
            ink = !ink;
        }

        return ink;
    }

    private void Dot(double x, double y, int size, OxyColor color) =>
        FillVisible((int)Math.Round(x - ((size - 1) / 2.0)), (int)Math.Round(y - ((size - 1) / 2.0)), size, size, color);

    private void FillVisible(int left, int top, int columns, int rows, OxyColor color)
    {
        (int l, int t, int r, int b) = Visible;
        (int x, int y) = (Math.Max(left, l), Math.Max(top, t));
        (int w, int h) = (Math.Min(left + columns, r) - x, Math.Min(top + rows, b) - y);
        if (w > 0 && h > 0)
        {
            _image.Fill(x, y, w, h, OnPaper(color));
        }
    }

    /// <summary>Row by row: what lies between the first and second, third and fourth, ... crossing of the outline is inside.</summary>
    private void Fill(IList<ScreenPoint> points, OxyColor color)
    {
        int from = Math.Max(0, (int)Math.Floor(points.Min(p => p.Y)));
        int to = Math.Min(height - 1, (int)Math.Ceiling(points.Max(p => p.Y)));
        List<double> crossings = [];
        for (int row = from; row <= to; row++)
        {
            double y = row + 0.5;
            crossings.Clear();
            for (int i = 0; i < points.Count; i++)
            {
                (ScreenPoint a, ScreenPoint b) = (points[i], points[(i + 1) % points.Count]);
                if ((a.Y <= y) != (b.Y <= y))
                {
                    crossings.Add(a.X + ((y - a.Y) / (b.Y - a.Y) * (b.X - a.X)));
                }
            }

            crossings.Sort();
            for (int i = 1; i < crossings.Count; i += 2)
            {
                int left = (int)Math.Round(crossings[i - 1]);
                FillVisible(left, row, (int)Math.Round(crossings[i]) - left, 1, color);
            }
        }
    }
}
