namespace MemSim;

/// <summary>A function's frame on a kernel stack.</summary>
/// <param name="Function">The function.</param>
/// <param name="Start">The lowest address.</param>
/// <param name="Bytes">Its size.</param>
public readonly record struct StackFrame(string Function, VirtualAddress Start, int Bytes);

/// <summary>A frame on a kernel stack; disposing it returns from the function.</summary>
public readonly struct StackScope : IDisposable
{
    private readonly KernelStack? _stack;
    private readonly int _depth;

    internal StackScope(KernelStack? stack, int depth)
    {
        _stack = stack;
        _depth = depth;
    }

    /// <summary>Returns from the function.</summary>
    public void Dispose()
    {
        // A frame that was refused was not pushed.
        if (_stack is not null && _stack.Depth == _depth)
        {
            _stack.Pop();
        }
    }
}
