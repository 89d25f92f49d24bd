using System.CommandLine;
using System.Globalization;
using System.Text;
using MemSim.Reports;
using MemSim.Tool.CommandLine;
using MemSim.Tool.Explaining;

namespace MemSim.Tool.Commands;

/// <summary><c>memsim explain</c>: reads kernel logs and says why each request failed and what would have saved it.</summary>
internal static class ExplainCommand
{
    public static Command Create(ToolConsole console)
    {
        var files = new Argument<string[]>("FILE") { Description = "Kernel logs, in whatever wrapping; - for standard input.", Arity = ArgumentArity.ZeroOrMore };
        var from = new Option<string?>("--from") { Description = "Explain a request on the state of a machine instead: a folder with zoneinfo, buddyinfo, pagetypeinfo, ... (/proc, or a copy).", HelpName = "DIR" };
        var gfp = new Option<string?>("--gfp") { Description = "With --from: the flags of the request, e.g. GFP_ATOMIC or 0xcc0.", HelpName = "MASK" };
        var order = new Option<int?>("--order") { Description = "With --from: log2 of the pages asked for.", HelpName = "N" };
        var svg = new Option<string?>("--svg") { Description = "Draw the free blocks of the last report that has zones by order and type against the limits of its zones.", HelpName = "OUT" };
        var png = new Option<string?>("--png") { Description = "The same picture as PNG.", HelpName = "OUT" };
        var kernel = new Option<string?>("--kernel") { Description = "Explain by the rules of this kernel (7.3, or the text of uname -a), whatever the log says.", HelpName = "VERSION" };
        Option<bool> json = SharedOptions.Json();
        var quiet = new Option<bool>("--quiet") { Description = "No progress bar." };
        var command = new Command("explain", "Reads kernel logs: why did the request fail, and what would have saved it?") { files, from, gfp, order, svg, png, kernel, json, quiet };
        command.SetAction(parsed =>
        {
            KernelRelease? version = SharedOptions.ToRelease(parsed.GetValue(kernel));
            string[] names = parsed.GetValue(files) ?? [];
            Sink sink = new(console, parsed.GetValue(json), parsed.GetValue(svg), parsed.GetValue(png), several: names.Length > 1);
            if (parsed.GetValue(from) is { } directory)
            {
                if (names.Length != 0)
                {
                    throw new BadInputException("--from: give either a folder or logs");
                }

                sink.Add(directory, ReportExplainer.Explain(FromFolder(directory, parsed.GetValue(gfp), parsed.GetValue(order)), version, onMachine: true));
                return sink.Finish();
            }

            if (names.Length == 0 || parsed.GetValue(gfp) is not null || parsed.GetValue(order) is not null)
            {
                throw new BadInputException(names.Length == 0 ? "memsim explain: a log (- for standard input) or --from DIR is needed" : "--gfp and --order belong to --from: a log has its own request");
            }

            foreach (string file in names)
            {
                Explain(console, file, version, sink, parsed.GetValue(quiet) || parsed.GetValue(json));
            }

            return sink.Finish();
        });
        return command;
    }

    /// <summary>Reports whose machines are rebuilt; for later ones of a long log the arithmetic stands alone.</summary>
    private const int OnMachine = 8;

    private static void Explain(ToolConsole console, string file, KernelRelease? version, Sink sink, bool quiet)
    {
        using Stream stream = Open(console, file, out long length);
        using var reader = new StreamReader(stream, Encoding.UTF8, detectEncodingFromByteOrderMarks: true, bufferSize: 1 << 16);
        var log = new KernelLog(reader);
        try
        {
            ReadReports();
        }
        catch (InvalidDataException e)
        {
            throw new BadInputException($"{(StandardInput.IsMeant(file) ? StandardInput.Name : file)}: {e.Message}", e);
        }

        sink.EndOfFile(file, log);

        void ReadReports() => console.WithProgress(file == "-" ? "standard input" : Path.GetFileName(file), length, quiet || length < 1 << 20, progress =>
        {
            foreach (KernelReport report in log.Reports(progress))
            {
                sink.Add(StandardInput.IsMeant(file) ? StandardInput.Name : file, ReportExplainer.Explain(report, version, onMachine: sink.Reports < OnMachine));
            }

            return true;
        });
    }

    private static KernelReport FromFolder(string directory, string? gfp, int? order)
    {
        if (gfp is { Length: > 0 } && gfp.All(char.IsAsciiDigit))
        {
            throw new BadInputException($"--gfp: is {gfp} decimal? Masks are hexadecimal: 0x{gfp}, or 0x{long.Parse(gfp.AsSpan(0, Math.Min(gfp.Length, 18)), CultureInfo.InvariantCulture):x} if it was decimal");
        }

        GfpReading? flags = gfp is null ? null : GfpReading.Parse(gfp);
        if (gfp is not null && (flags is null || (flags.Hex is null && flags.Decode(KernelRelease.Oldest, KernelRelease.Newest) is var meaning && meaning.Notes.Count != 0)))
        {
            throw new BadInputException($"--gfp: '{gfp}' are no GFP flags (like GFP_ATOMIC, GFP_KERNEL|__GFP_COMP or 0xcc0)");
        }

        if (order is < 0 or > 30)
        {
            throw new BadInputException($"--order: {order} is no order (0 to 30)");
        }

        try
        {
            return ProcState.Read(directory, flags ?? (order is null ? null : GfpReading.Parse("GFP_KERNEL")), order ?? (flags is null ? null : 0));
        }
        catch (FormatException e)
        {
            throw new BadInputException(e.Message, e);
        }
    }

    private static Stream Open(ToolConsole console, string file, out long length)
    {
        length = 0;
        if (file == "-")
        {
            return console.OpenInput();
        }

        if (!File.Exists(file))
        {
            throw new BadInputException(Directory.Exists(file) ? $"{file}: a folder; --from takes one" : $"{file}: no such file");
        }

        FileStream stream = File.OpenRead(file);
        length = stream.Length;
        return file.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? new System.IO.Compression.GZipStream(stream, System.IO.Compression.CompressionMode.Decompress) : stream;
    }

    /// <summary>Writes explanations as they come.</summary>
    private sealed class Sink(ToolConsole console, bool json, string? svg, string? png, bool several)
    {
        private readonly List<string> _files = [];
        private readonly List<long> _unknown = [];
        private readonly List<string> _unknownByFile = [];
        private long _moreUnknown;
        private long _reports;
        private long _undecidable;
        private ReportExplanation? _drawn;

        public long Reports => _reports;

        public void Add(string file, ReportExplanation explanation)
        {
            _reports++;
            _drawn = explanation.Zones.Count != 0 ? explanation : _drawn;
            _undecidable += explanation.Verdict == Verdict.Undecidable ? 1 : 0;
            if (!json)
            {
                if (_reports > 1)
                {
                    console.Out.WriteLine();
                }

                console.Out.Write(several ? $"{file}: {explanation}" : explanation.ToString());
                return;
            }

            // One report at a time: a log may hold more than memory does.
            console.Out.Write(_reports == 1 ? "{\n\"reports\": [\n" : ",\n");
            console.Out.Write(System.Text.Json.JsonSerializer.Serialize(ExplainDocuments.Of(file, explanation), ExplainJsonContext.Default.ExplainedReportDocument));
        }

        public void EndOfFile(string file, KernelLog log)
        {
            _files.Add(StandardInput.IsMeant(file) ? StandardInput.Name : file);
            if (several && log.UnknownLines.Count != 0)
            {
                _unknownByFile.Add($"{_files[^1]}: {Ranges([.. log.UnknownLines])}");
            }

            _unknown.AddRange(log.UnknownLines);
            _moreUnknown += log.MoreUnknownLines;
        }

        public int Finish()
        {
            if (_reports == 0)
            {
                throw new BadInputException($"{string.Join(", ", _files)}: no report about memory found (page allocation failure, oom-killer, Mem-Info, ...)");
            }

            if (json)
            {
                console.Out.Write($"\n],\n\"unknownLines\": [{string.Join(',', _unknown)}],\n\"moreUnknownLines\": {_moreUnknown}\n}}\n");
            }
            else if (_unknown.Count != 0)
            {
                console.Out.WriteLine();
                console.Out.WriteLine($"lines not understood: {(several ? string.Join("; ", _unknownByFile) : Ranges(_unknown))}{(_moreUnknown == 0 ? "" : $" and {_moreUnknown} more")}");
            }

            if ((svg ?? png) is not null && _drawn is null)
            {
                throw new BadInputException("--svg, --png: no report has lines of zones, so there is nothing to draw");
            }

            if (svg is not null)
            {
                File.WriteAllText(svg, ZonePicture.Svg(_drawn!));
            }

            if (png is not null)
            {
                File.WriteAllBytes(png, ZoneImage.Png(_drawn!));
            }

            return _undecidable == 0 ? ExitCode.Done : ExitCode.FellShort;
        }

        private static string Ranges(List<long> numbers)
        {
            List<string> parts = [];
            for (int i = 0; i < numbers.Count && parts.Count < 40; i++)
            {
                int end = i;
                while (end + 1 < numbers.Count && numbers[end + 1] == numbers[end] + 1)
                {
                    end++;
                }

                parts.Add(end == i ? $"{numbers[i]}" : $"{numbers[i]}-{numbers[end]}");
                i = end;
            }

            return string.Join(", ", parts) + (parts.Count == 40 ? ", ..." : "");
        }
    }
}
