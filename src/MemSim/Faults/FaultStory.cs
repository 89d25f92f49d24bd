using System.Text;

namespace MemSim;

/// <summary>Records, step by step, what the kernel did about page faults.</summary>
public sealed class FaultStory
{
    private const int MaxLines = 10_000;

    private readonly List<string> _lines = [];

    /// <summary>The steps, oldest first; the first ten thousand.</summary>
    public IReadOnlyList<string> Lines => _lines;

    /// <summary>Forgets what was recorded.</summary>
    public void Clear() => _lines.Clear();

    internal void Add(string line) => AddLine("  " + line);

    internal void Begin(string line) => AddLine(line);

    private void AddLine(string line)
    {
        if (_lines.Count < MaxLines)
        {
            _lines.Add(line);
        }
    }

    /// <summary>The steps, a line each.</summary>
    public override string ToString()
    {
        StringBuilder text = new();
        foreach (string line in _lines)
        {
            text.Append(line).Append('\n');
        }

        return text.ToString();
    }
}
