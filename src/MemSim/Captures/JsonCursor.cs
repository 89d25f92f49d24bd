using System.Text.Json;

namespace MemSim.Captures;

/// <summary>Reads a JSON document front to back with range checks; every fault names file, line and field.</summary>
internal ref struct JsonCursor
{
    private readonly ReadOnlySpan<byte> _json;
    private readonly string _path;
    private Utf8JsonReader _reader;
    private string _field = "the document";

    public JsonCursor(ReadOnlySpan<byte> json, string path)
    {
        _json = json;
        _path = path;
        _reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = 16 });
    }

    public readonly JsonTokenType Token => _reader.TokenType;

    /// <summary>The line of the current token, for faults found later.</summary>
    public readonly int Line => 1 + _json[..(int)_reader.TokenStartIndex].Count((byte)'\n');

    /// <summary>Steps to the first token, which must open an object.</summary>
    public void BeginDocument()
    {
        Next();
        Expect(JsonTokenType.StartObject, "an object");
    }

    /// <summary>Makes sure that nothing follows.</summary>
    public void EndDocument()
    {
        try
        {
            if (_reader.Read())
            {
                throw Fault("text follows the end of the document");
            }
        }
        catch (JsonException e)
        {
            throw Broken(e);
        }
    }

    /// <summary>Steps to an object's next field and on to its value; false at the object's end.</summary>
    public bool NextField(out string name)
    {
        Next();
        if (Token == JsonTokenType.EndObject)
        {
            name = "";
            return false;
        }

        name = GetString();
        _field = $"'{name}'";
        Next();
        return true;
    }

    /// <summary>Checks that the value is an object, whose fields follow.</summary>
    public readonly void BeginObject() => Expect(JsonTokenType.StartObject, "an object");

    /// <summary>Checks that the value is an array, whose elements follow.</summary>
    public readonly void BeginArray() => Expect(JsonTokenType.StartArray, "an array");

    /// <summary>Steps to the next element; false at the array's end.</summary>
    public bool NextElement()
    {
        Next();
        return Token != JsonTokenType.EndArray;
    }

    /// <summary>The value as a whole number within bounds.</summary>
    public readonly long Number(long min, long max)
    {
        if (Token != JsonTokenType.Number || !_reader.TryGetInt64(out long value))
        {
            throw Fault($"{_field} is not a whole number of 64 bits");
        }

        return value >= min && value <= max ? value : throw Fault($"{_field} is {value}, not from {min} to {max}");
    }

    /// <summary>The value as an address: a whole number that may need all 64 bits.</summary>
    public readonly ulong Address() =>
        Token == JsonTokenType.Number && _reader.TryGetUInt64(out ulong value) ? value : throw Fault($"{_field} is not a whole number from 0 to 2^64-1");

    public readonly int Int(int min, int max) => (int)Number(min, max);

    /// <summary>The value as a number within bounds.</summary>
    public readonly double Real(double min, double max)
    {
        if (Token != JsonTokenType.Number || !_reader.TryGetDouble(out double value))
        {
            throw Fault($"{_field} is not a number");
        }

        return value >= min && value <= max ? value : throw Fault($"{_field} is {value}, not from {min} to {max}");
    }

    /// <summary>The value as true or false.</summary>
    public readonly bool Truth() => Token is JsonTokenType.True or JsonTokenType.False ? Token == JsonTokenType.True : throw Fault($"{_field} is neither true nor false");

    public readonly string Text()
    {
        Expect(JsonTokenType.String, "a string");
        return GetString();
    }

    /// <summary>The value as an array of numbers within bounds.</summary>
    public long[] Numbers(long min, long max)
    {
        BeginArray();
        List<long> values = [];
        while (NextElement())
        {
            values.Add(Number(min, max));
        }

        return [.. values];
    }

    /// <summary>Steps over the value.</summary>
    public void Skip()
    {
        try
        {
            _reader.Skip();
        }
        catch (JsonException e)
        {
            throw Broken(e);
        }
    }

    /// <summary>A fault at the current token.</summary>
    public readonly InputFileException Fault(string reason) => new(_path, Line, reason);

    private readonly string GetString()
    {
        try
        {
            return _reader.GetString()!;
        }
        catch (InvalidOperationException e)
        {
            throw new InputFileException(_path, Line, "a string is no valid UTF-8", e);
        }
    }

    private void Next()
    {
        try
        {
            if (!_reader.Read())
            {
                throw new InputFileException(_path, Line, "the JSON document ends early");
            }
        }
        catch (JsonException e)
        {
            throw Broken(e);
        }
    }

    private readonly InputFileException Broken(JsonException e) =>
        new(_path, (int)(e.LineNumber ?? 0) + 1, $"no valid JSON at byte {e.BytePositionInLine} of the line, in or after {_field}", e);

    private readonly void Expect(JsonTokenType token, string what)
    {
        if (Token != token)
        {
            throw Fault($"{_field} is not {what}");
        }
    }
}
