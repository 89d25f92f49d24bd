using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using MemSim.Tool.Views;
using Spectre.Console;

namespace MemSim.Tool;

/// <summary>Where a verb writes to: results to standard output, progress and complaints to standard error.</summary>
internal sealed class ToolConsole(TextWriter output, TextWriter error)
{
    /// <summary>Columns of tables and maps when nobody watches.</summary>
    public const int PlainWidth = 120;

    public TextWriter Out { get; } = output;

    public TextWriter Error { get; } = error;

    /// <summary>Whether a person sees standard output: then there are colours.</summary>
    public bool OutputIsTerminal { get; init; }

    /// <summary>Whether a person sees standard error: then there is progress.</summary>
    public bool ErrorIsTerminal { get; init; }

    public int Width { get; init; } = PlainWidth;

    public CancellationToken Interrupted { get; init; }

    /// <summary>Opens standard input.</summary>
    public Func<Stream> OpenInput { get; init; } = CommandLine.StandardInput.Open;

    /// <summary>Writes a document as JSON with a newline at the end.</summary>
    public void WriteJson<T>(T document, JsonTypeInfo<T> type)
    {
        Out.WriteLine(JsonSerializer.Serialize(document, type));
    }

    /// <summary>Standard output for tables and colours; plain text when nobody watches.</summary>
    public IAnsiConsole Rich() => Create(Out, OutputIsTerminal, Width);

    /// <summary>A table whose first columns are text and whose others are numbers.</summary>
    /// <remarks>
    /// On a terminal that is too narrow the frame goes first, then headings are broken between words, then the words of text columns; then the last columns of numbers go into further tables below,
    /// with the text columns before them again. A number is never broken. Where nobody watches, lines are as long as they must be.
    /// </remarks>
    public void WriteTable(IReadOnlyList<string> headings, IEnumerable<IReadOnlyList<string>> rows, int textColumns = 1)
    {
        IReadOnlyList<string>[] cells = [.. rows];
        TableWidths widths = new(headings, cells, textColumns);
        if (!OutputIsTerminal)
        {
            Write(headings, cells, textColumns, [.. Enumerable.Range(0, headings.Count)], framed: false, tight: false);
            return;
        }

        if (widths.Framed <= Width)
        {
            Write(headings, cells, textColumns, [.. Enumerable.Range(0, headings.Count)], framed: true, tight: false);
            return;
        }

        foreach (int[] columns in widths.Fold(Width))
        {
            Write(headings, cells, textColumns, columns, framed: false, tight: widths.Plain > Width);
        }
    }

    /// <summary>What belongs together, in a line; on a terminal that is too narrow, in several that are broken between two items.</summary>
    public void WriteItems(string heading, IEnumerable<string> items)
    {
        if (!OutputIsTerminal)
        {
            Out.WriteLine($"{heading}: {string.Join(", ", items)}");
            return;
        }

        string line = heading + ":";
        string before = " ";
        foreach (string item in items)
        {
            if (line.Length + before.Length + item.Length >= Width && line.Trim().Length != 0)
            {
                Out.WriteLine(before == " " ? line : line + ",");
                (line, before) = ("  ", "");
            }

            line += before + item;
            before = ", ";
        }

        Out.WriteLine(line);
    }

    private void Write(IReadOnlyList<string> headings, IReadOnlyList<string>[] cells, int textColumns, int[] columns, bool framed, bool tight)
    {
        var table = new Table { Border = framed ? TableBorder.Rounded : TableBorder.None, UseSafeBorder = true };
        foreach (int i in columns)
        {
            bool isText = i < textColumns;
            string heading = tight && !isText ? headings[i].Replace(' ', '\n') : headings[i];
            var column = new TableColumn(new Text(heading)) { NoWrap = !tight || !isText };
            table.AddColumn(isText ? column : column.RightAligned());
        }

        foreach (IReadOnlyList<string> row in cells)
        {
            table.AddRow(columns.Select(i => new Text(row[i])));
        }

        using var text = new StringWriter();
        Create(text, OutputIsTerminal, OutputIsTerminal ? Width : Math.Max(Width, PlainWidth)).Write(table);
        foreach (string line in text.ToString().Split('\n'))
        {
            if (line.Trim().Length != 0)
            {
                Out.WriteLine(line.TrimEnd());
            }
        }
    }

    /// <summary>Whether a person watches standard error and wants progress.</summary>
    public bool ShowsProgress(bool quiet) => ErrorIsTerminal && !quiet;

    /// <summary>Does something long, with a progress bar when a person watches standard error; stops when interrupted.</summary>
    /// <param name="what">What is being done.</param>
    /// <param name="total">How many steps there are; 0 when that is not known.</param>
    /// <param name="quiet">Whether to show nothing.</param>
    /// <param name="work">Reports the steps done so far.</param>
    public T WithProgress<T>(string what, long total, bool quiet, Func<IProgress<long>, T> work)
    {
        Interrupted.ThrowIfCancellationRequested();
        if (!ShowsProgress(quiet))
        {
            return work(new StepProgress(null, Interrupted));
        }

        T? result = default;
        Create(Error, ansi: true, width: 80).Progress().AutoClear(true).HideCompleted(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn())
            .Start(context =>
            {
                ProgressTask task = context.AddTask(Markup.Escape(what), maxValue: Math.Max(total, 1));
                task.IsIndeterminate = total == 0;
                result = work(new StepProgress(done => task.Value = done, Interrupted));
            });
        return result!;
    }

    private static IAnsiConsole Create(TextWriter writer, bool ansi, int width)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = ansi ? AnsiSupport.Yes : AnsiSupport.No,
            ColorSystem = ansi ? ColorSystemSupport.TrueColor : ColorSystemSupport.NoColors,
            Interactive = ansi ? InteractionSupport.Yes : InteractionSupport.No,
            Out = new AnsiConsoleOutput(writer),
        });
        console.Profile.Width = width;
        return console;
    }

    /// <summary>Hands progress on at once, on the caller's thread, so that an interrupt stops the work where it is.</summary>
    private sealed class StepProgress(Action<long>? show, CancellationToken interrupted) : IProgress<long>
    {
        public void Report(long value)
        {
            interrupted.ThrowIfCancellationRequested();
            show?.Invoke(value);
        }
    }
}
