using System.Globalization;
using System.Text;
using MemSim.Benchmarks.Harness;

namespace MemSim.Benchmarks.Growth;

/// <summary>Follows the cost of calls over the sizes of an axis, fits exponents, and prints a table; the picture goes to a file.</summary>
internal static class GrowthRunner
{
    private const int Samples = 5;
    private const double SampleMilliseconds = 2;

    /// <summary>Costs of a call that would be the same for every size differ by this much between runs on a busy host.</summary>
    private const double Tolerance = 0.25;

    public static int Run(string? only, string? picture, bool quick)
    {
        List<GrowthSeries> all = [];
        foreach (GrowthAxis axis in GrowthTable.All.Where(a => only is null || only.Split(',').Any(part => a.Name.Contains(part, StringComparison.OrdinalIgnoreCase))))
        {
            all.AddRange(Measure(axis, quick));
        }

        Console.WriteLine("| what grows | call | sizes | ns a call | exponent | kernel | |");
        Console.WriteLine("| --- | --- | --- | --- | --- | --- | --- |");
        foreach (GrowthSeries series in all)
        {
            Console.WriteLine(Row(series));
        }

        if (picture is not null)
        {
            File.WriteAllText(picture, GrowthPicture.Of(all));
        }

        return all.Count == 0 ? 2 : 0;
    }

    private static List<GrowthSeries> Measure(GrowthAxis axis, bool quick)
    {
        List<GrowthSeries> series = [];
        bool first = true;
        foreach (long size in quick ? axis.Sizes.Take(2) : axis.Sizes)
        {
            Console.Error.WriteLine($"# {axis.Name}: {size}");
            GrowthState state = axis.Prepare(size);
            using (state.Owner)
            {
                if (first)
                {
                    series.AddRange(state.Calls.Select(call => new GrowthSeries(axis.Name, call.Name, call.Linear, [])));
                    Train(state, quick);
                    first = false;
                }

                for (int i = 0; i < state.Calls.Count; i++)
                {
                    series[i].Points.Add((size, Cost(state.Calls[i].Run)));
                }
            }
        }

        return series;
    }

    /// <summary>Lets the JIT see every call often enough, so that the smallest size is not measured in slower code than the others.</summary>
    private static void Train(GrowthState state, bool quick)
    {
        for (int round = 0; round < (quick ? 1 : 3); round++)
        {
            foreach (GrowthCall call in state.Calls)
            {
                double start = ThreadClock.Milliseconds;
                for (int i = 0; i < 2000 && ThreadClock.Milliseconds - start < 60; i++)
                {
                    call.Run();
                }
            }

            Thread.Sleep(200);
        }
    }

    /// <summary>Nanoseconds a call: the least of several samples.</summary>
    private static double Cost(Action call)
    {
        call();
        int turns = 1;
        double took = Time(call, turns);
        while (took < SampleMilliseconds)
        {
            turns = (int)Math.Ceiling(turns * Math.Clamp(SampleMilliseconds * 1.3 / Math.Max(took, 0.0005), 1.3, 20));
            took = Time(call, turns);
        }

        double least = took / turns;
        for (int sample = 1; sample < Samples && took < 2000; sample++)
        {
            least = Math.Min(least, Time(call, turns) / turns);
        }

        return least * 1e6;
    }

    private static double Time(Action call, int turns)
    {
        double start = ThreadClock.Milliseconds;
        for (int i = 0; i < turns; i++)
        {
            call();
        }

        return ThreadClock.Milliseconds - start;
    }

    private static string Row(GrowthSeries series)
    {
        double exponent = series.Exponent;
        string verdict = exponent > (series.Linear ? 1 : 0) + Tolerance ? "**grows faster**" : "";
        StringBuilder costs = new();
        foreach ((_, double cost) in series.Points)
        {
            costs.Append(costs.Length == 0 ? "" : ", ").Append(cost.ToString(cost < 100 ? "F1" : "F0", CultureInfo.InvariantCulture));
        }

        return string.Create(CultureInfo.InvariantCulture, $"| {series.Axis} | {series.Call} | {series.Points[0].Size} to {series.Points[^1].Size} | {costs} | {exponent:F2} | {(series.Linear ? "O(n)" : "O(1), O(log n)")} | {verdict} |");
    }
}

/// <summary>The costs of one call over the sizes of an axis.</summary>
internal sealed record GrowthSeries(string Axis, string Call, bool Linear, List<(long Size, double Cost)> Points)
{
    /// <summary>The slope of the logarithm of the cost over that of the size, fitted to the larger half of the sizes: the smaller ones show what a call costs anyway.</summary>
    public double Exponent
    {
        get
        {
            List<(double X, double Y)> logs = [.. Points.Skip(Math.Min(Points.Count / 2, Math.Max(0, Points.Count - 3))).Select(p => (Math.Log(p.Size), Math.Log(p.Cost)))];
            double x = logs.Average(p => p.X);
            double y = logs.Average(p => p.Y);
            double spread = logs.Sum(p => (p.X - x) * (p.X - x));
            return spread == 0 ? 0 : logs.Sum(p => (p.X - x) * (p.Y - y)) / spread;
        }
    }
}
