namespace MemSim.Recordings.Import;

/// <summary>Hands out a stream's lines as bytes in a reused buffer, and counts them.</summary>
internal sealed class Utf8LineReader : IDisposable
{
    private readonly Stream _stream;
    private readonly string _path;
    private readonly int _maxLineBytes;
    private byte[] _buffer = new byte[1 << 18];
    private int _start;
    private int _end;
    private int _lastStart;
    private bool _atEnd;

    /// <summary>Reads a stream, which the reader disposes of.</summary>
    /// <param name="stream">Unpacked bytes.</param>
    /// <param name="path">The name for messages.</param>
    /// <param name="maxLineBytes">A longer line is an error: it bounds what a damaged file can make the reader allocate.</param>
    public Utf8LineReader(Stream stream, string path, int maxLineBytes)
    {
        _stream = stream;
        _path = path;
        _maxLineBytes = maxLineBytes;
    }

    /// <summary>The 1-based number of the line handed out last.</summary>
    public int Line { get; private set; }

    /// <summary>The file's name, for messages.</summary>
    public string Path => _path;

    /// <summary>Gets the next line without its end; it is valid until the next call.</summary>
    public bool TryRead(out ReadOnlySpan<byte> line)
    {
        int searched = _start;
        while (true)
        {
            int length = _buffer.AsSpan(searched, _end - searched).IndexOf((byte)'\n');
            if (length >= 0)
            {
                int newline = searched + length;
                line = Take(newline);
                _start = newline + 1;
                return true;
            }

            searched = _end;
            if (_atEnd)
            {
                line = Take(_end);
                bool any = _end > _start;
                _start = _end;
                Line -= any ? 0 : 1;
                return any;
            }

            int moved = Fill();
            searched -= moved;
        }
    }

    /// <summary>Hands the line that was read last out again next time.</summary>
    public void PushBack()
    {
        _start = _lastStart;
        Line--;
    }

    /// <summary>A fault in the line handed out last.</summary>
    public InputFileException Fault(string reason) => new(_path, Line, reason);

    public void Dispose() => _stream.Dispose();

    private ReadOnlySpan<byte> Take(int end)
    {
        Line++;
        _lastStart = _start;
        ReadOnlySpan<byte> line = _buffer.AsSpan(_start, end - _start);
        return line.Length > 0 && line[^1] == (byte)'\r' ? line[..^1] : line;
    }

    /// <summary>Makes room and reads on; returns by how much the content moved down.</summary>
    private int Fill()
    {
        int moved = 0;
        if (_start > 0)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            moved = _start;
            _end -= _start;
            _start = 0;
        }

        if (_end == _buffer.Length)
        {
            if (_end >= _maxLineBytes)
            {
                throw new InputFileException(_path, Line + 1, $"the line is longer than {_maxLineBytes} bytes");
            }

            Array.Resize(ref _buffer, _buffer.Length * 2);
        }

        try
        {
            int read = _stream.Read(_buffer, _end, _buffer.Length - _end);
            _end += read;
            _atEnd = read == 0;
        }
        catch (InputFileException e)
        {
            throw new InputFileException(_path, Line + 1, e.Reason, e);
        }

        return moved;
    }
}
