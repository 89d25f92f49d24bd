using MemSim.Captures;

namespace MemSim.Recordings.Replay;

/// <summary>One line of a recording in JSON lines: an object whose known fields are taken, the others skipped, and some required.</summary>
internal abstract record JsonRecord(int Line)
{
    /// <summary>Takes the fields of a line.</summary>
    /// <exception cref="InputFileException">The line is no such object, or a required field is missing.</exception>
    protected void Fill(ReadOnlySpan<byte> line, string path)
    {
        JsonCursor json = new(line, path);
        HashSet<string> fields = [];
        json.BeginDocument();
        while (json.NextField(out string name))
        {
            fields.Add(name);
            Take(ref json, name);
        }

        json.EndDocument();
        if (Array.Find(Required(ref json), field => !fields.Contains(field)) is string missing)
        {
            throw json.Fault($"'{missing}' is missing");
        }
    }

    /// <summary>Reads the value of a field, or skips it.</summary>
    protected abstract void Take(ref JsonCursor json, string name);

    /// <summary>The fields that a line of this kind must have.</summary>
    protected abstract string[] Required(ref JsonCursor json);
}
