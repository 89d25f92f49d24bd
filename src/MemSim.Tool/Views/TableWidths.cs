namespace MemSim.Tool.Views;

/// <summary>How wide the columns of a table are, and which of them fit beside each other.</summary>
internal sealed class TableWidths
{
    /// <summary>Blanks around a column without a frame.</summary>
    private const int Padding = 2;

    private readonly int[] _least;
    private readonly int _textColumns;

    public TableWidths(IReadOnlyList<string> headings, IReadOnlyList<string>[] cells, int textColumns)
    {
        _textColumns = textColumns;
        int[] whole = [.. headings.Select((heading, i) => cells.Select(row => row[i].Length).Append(heading.Length).Max())];
        _least = [.. headings.Select((heading, i) => (i < textColumns ? cells.Select(row => LongestWord(row[i])) : cells.Select(row => row[i].Length)).Append(LongestWord(heading)).Max())];
        Framed = whole.Sum() + (3 * whole.Length) + 1;
        Plain = whole.Sum() + (Padding * whole.Length);
    }

    /// <summary>Columns of the table with a frame.</summary>
    public int Framed { get; }

    /// <summary>Columns of the table without one.</summary>
    public int Plain { get; }

    /// <summary>The columns of each table that is no wider than what there is room for: all in one where they fit, else the text columns before as many of numbers as do; one at least.</summary>
    public IEnumerable<int[]> Fold(int room)
    {
        int count = _least.Length;
        if (Plain <= room || count == _textColumns)
        {
            yield return [.. Enumerable.Range(0, count)];
            yield break;
        }

        int text = _least.Take(_textColumns).Sum(w => w + Padding);
        int next = _textColumns;
        while (next < count)
        {
            int first = next;
            int width = text;
            while (next < count && (next == first || width + _least[next] + Padding <= room))
            {
                width += _least[next++] + Padding;
            }

            yield return [.. Enumerable.Range(0, _textColumns), .. Enumerable.Range(first, next - first)];
        }
    }

    private static int LongestWord(string text) => text.Split(' ').Max(word => word.Length);
}
