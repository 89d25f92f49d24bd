using System.Globalization;
using System.Text;
using OxyPlot;
using OxyPlot.Annotations;
using OxyPlot.Axes;
using OxyPlot.Legends;
using OxyPlot.Series;

namespace MemSim.Tool.Plots;

/// <summary>Draws a plot with OxyPlot: as SVG, or as PNG with letters of its own. The same plot gives the same bytes on every machine.</summary>
internal static class PlotDrawing
{
    private const int Width = 960;
    private const int PanelHeight = 230;
    private const int HeadHeight = 110;
    private const double FirstLine = 11;
    private const double LineHeight = 15;
    private const double LetterWidth = 6.2;

    /// <summary>Whether a file's name has an ending that can be drawn.</summary>
    public static bool CanDraw(string path) => path.EndsWith(".svg", StringComparison.OrdinalIgnoreCase) || IsPng(path);

    /// <summary>Writes the picture; the ending of the name decides how.</summary>
    public static void Write(string path, Plot plot)
    {
        int height = HeadHeight + (plot.Panels.Count * PanelHeight);
        PlotModel model = Model(plot, height);
        if (IsPng(path))
        {
            PngRenderContext png = new(Width, height);
            ((IPlotModel)model).Update(updateData: true);
            ((IPlotModel)model).Render(png, new OxyRect(0, 0, Width, height));
            File.WriteAllBytes(path, png.Encode());
            return;
        }

        // Letters of one width: those of any font of the reader's have room, and what is measured does not depend on fonts here.
        string svg = new SvgExporter { TextMeasurer = new PngRenderContext(1, 1), Width = Width, Height = height, IsDocument = false, UseVerticalTextAlignmentWorkaround = true }.ExportToString(model);
        File.WriteAllText(path, svg.ReplaceLineEndings("\n"), new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
    }

    private static bool IsPng(string path) => path.EndsWith(".png", StringComparison.OrdinalIgnoreCase);

    private static PlotModel Model(Plot plot, int height)
    {
        int rows = PhaseRows(plot, out int[] rowOf);
        PlotModel model = new()
        {
            Title = plot.Title + "\n",
            TitleFontSize = 16,
            TitleFontWeight = FontWeights.Normal,
            Subtitle = plot.Subtitle,
            SubtitleFontSize = 12,
            DefaultFont = "sans-serif",
            Background = OxyColors.White,
            Padding = new OxyThickness(8, 8, 16, 8),
            PlotAreaBorderThickness = new OxyThickness(0),
        };
        model.Legends.Add(new Legend { LegendPosition = LegendPosition.BottomCenter, LegendPlacement = LegendPlacement.Outside, LegendOrientation = LegendOrientation.Horizontal, LegendItemSpacing = 24, LegendLineSpacing = 4 });
        model.Axes.Add(new LinearAxis { Position = AxisPosition.Bottom, Minimum = 0, Maximum = plot.XMax, Title = plot.XName, MajorGridlineStyle = LineStyle.Dot, AxislineStyle = LineStyle.Solid });

        // The names of the phases stand above the panels, in as many lines as they need not to touch.
        double head = rows * LineHeight / (height - HeadHeight);
        double each = (1 - head) / plot.Panels.Count;
        for (int i = 0; i < plot.Panels.Count; i++)
        {
            PlotPanel panel = plot.Panels[i];
            string key = i.ToString(CultureInfo.InvariantCulture);
            double end = 1 - head - (i * each);
            model.Axes.Add(new LinearAxis
            {
                Key = key,
                Position = AxisPosition.Left,
                Minimum = 0,
                Maximum = panel.YMax,
                StartPosition = end - (each * 0.93),
                EndPosition = end,
                Title = panel.Name,
                AxisTitleDistance = 22,
                AxislineStyle = LineStyle.Solid,
                MajorGridlineStyle = LineStyle.Dot,
            });
            AddSeries(model, panel, key);
            AddLevels(model, panel, key);
        }

        model.Axes.Add(new LinearAxis { Key = "phases", Position = AxisPosition.Left, Minimum = 0, Maximum = Math.Max(1, rows), StartPosition = 1 - head, EndPosition = 1, IsAxisVisible = false });
        for (int i = 0; i < plot.Phases.Count; i++)
        {
            PlotPhase phase = plot.Phases[i];
            model.Annotations.Add(new TextAnnotation
            {
                Text = phase.Name,
                TextPosition = new DataPoint(phase.At, rows - rowOf[i]),
                YAxisKey = "phases",
                Stroke = OxyColors.Transparent,
                TextColor = OxyColor.Parse("#556677"),
                TextHorizontalAlignment = HorizontalAlignment.Left,
                TextVerticalAlignment = VerticalAlignment.Top,
                FontSize = FirstLine,
                ClipByXAxis = false,
                ClipByYAxis = false,
            });
            for (int p = 0; p < plot.Panels.Count && phase.At > 0; p++)
            {
                model.Annotations.Add(new LineAnnotation { Type = LineAnnotationType.Vertical, X = phase.At, YAxisKey = p.ToString(CultureInfo.InvariantCulture), Color = OxyColor.Parse("#bbbbcc"), LineStyle = LineStyle.Solid });
            }
        }

        return model;
    }

    /// <summary>Draws the lines; where they are too near each other, one name stands for several.</summary>
    private static void AddLevels(PlotModel model, PlotPanel panel, string key)
    {
        LineAnnotation? named = null;
        foreach (PlotLevel level in panel.Levels)
        {
            LineAnnotation line = new() { Type = LineAnnotationType.Horizontal, Y = level.Value, YAxisKey = key, Color = OxyColor.Parse(level.Color), TextColor = OxyColor.Parse(level.Color), FontSize = FirstLine };
            if (named is not null && Math.Abs(named.Y - level.Value) / panel.YMax * PanelHeight < LineHeight)
            {
                named.Text += $", {level.Name}";
            }
            else
            {
                line.Text = level.Name;
                line.TextVerticalAlignment = VerticalAlignment.Bottom;
                named = line;
            }

            model.Annotations.Add(line);
        }
    }

    /// <summary>Gives each phase the first line in which its name has room.</summary>
    private static int PhaseRows(Plot plot, out int[] rowOf)
    {
        List<double> ends = [];
        rowOf = new int[plot.Phases.Count];
        for (int i = 0; i < rowOf.Length; i++)
        {
            double left = plot.Phases[i].At / plot.XMax * Width;
            int row = ends.FindIndex(end => end <= left);
            if (row < 0)
            {
                row = ends.Count;
                ends.Add(0);
            }

            ends[row] = left + (plot.Phases[i].Name.Length * LetterWidth) + LetterWidth;
            rowOf[i] = row;
        }

        return ends.Count;
    }

    private static void AddSeries(PlotModel model, PlotPanel panel, string key)
    {
        double[]? below = null;
        foreach (PlotSeries series in panel.Series)
        {
            OxyColor color = OxyColor.Parse(series.Color);
            if (series.Kind is PlotKind.Line or PlotKind.DottedLine)
            {
                LineSeries line = new() { Title = series.Name, Color = color, YAxisKey = key, StrokeThickness = 1.3, LineStyle = series.Kind == PlotKind.DottedLine ? LineStyle.Dot : LineStyle.Solid };
                line.Points.AddRange(series.Points.Select(p => new DataPoint(p.X, Math.Min(p.Y, panel.YMax))));
                model.Series.Add(line);
            }
            else if (series.Kind == PlotKind.Band)
            {
                AreaSeries area = new() { Title = series.Name, Color = color, Fill = color, YAxisKey = key, StrokeThickness = 0 };
                below ??= new double[series.Points.Count];
                for (int i = 0; i < series.Points.Count; i++)
                {
                    area.Points2.Add(new DataPoint(series.Points[i].X, below[i]));
                    below[i] += series.Points[i].Y;
                    area.Points.Add(new DataPoint(series.Points[i].X, below[i]));
                }

                model.Series.Add(area);
            }
            else
            {
                // Markers of OxyPlot's own are all upright: a triangle that points down is an outline of its own.
                ScatterSeries marks = new() { Title = series.Name, YAxisKey = key, MarkerFill = color, MarkerStroke = color, MarkerStrokeThickness = 1, MarkerSize = 3.5 };
                marks.MarkerType = series.Kind switch { PlotKind.UpMark => MarkerType.Triangle, PlotKind.CrossMark => MarkerType.Cross, _ => MarkerType.Custom };
                marks.MarkerOutline = series.Kind switch { PlotKind.DownMark => DownTriangle, PlotKind.TickMark => Tick, _ => null };
                marks.Points.AddRange(series.Points.Select(p => new ScatterPoint(p.X, Math.Min(p.Y, panel.YMax))));
                model.Series.Add(marks);
            }
        }
    }

    private static readonly ScreenPoint[] DownTriangle = [new(-1, -0.7), new(1, -0.7), new(0, 1)];
    private static readonly ScreenPoint[] Tick = [new(-0.1, -1.4), new(0.1, -1.4), new(0.1, 1.4), new(-0.1, 1.4)];
}
